"""Fills the shared memory folder of the machine; 64 MB are enough to prove the point.

exploit: F29
layer: the size of the box's /dev/shm
"""

import os
import shutil
import tempfile

folder = tempfile.mkdtemp(dir="/dev/shm")
try:
    for number in range(32):
        with open(os.path.join(folder, str(number)), "wb") as file:
            file.write(bytes(2 << 20))
    print("escaped")
finally:
    shutil.rmtree(folder)
