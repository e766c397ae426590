"""Makes a file that says it is 64 GB long, for whoever copies it.

exploit: F29
layer: the file size limit
"""

import sys

with open(f"{sys.argv[3]}/sparse", "wb") as file:
    file.truncate(1 << 36)
print("escaped")
