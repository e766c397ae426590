"""Prints without end, for whoever collects it in memory; 32 MB are enough to prove the point.

exploit: F36
judge: flood
layer: the parent's cap on output
"""

import os

for _ in range(32):
    data = b"x" * (1 << 20)
    while data:
        data = data[os.write(1, data) :]
