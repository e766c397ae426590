"""Leaves a result that is much larger than what it wrote.

exploit: F36
judge: result
layer: the file size limit, and the collector's cap
"""

import sys

with open(f"{sys.argv[3]}/result", "wb") as file:
    file.write(b"result")
    file.truncate(64 << 20)
