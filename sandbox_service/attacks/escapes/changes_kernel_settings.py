"""Opens a setting of the kernel for writing: the core pattern names a program that the host runs as root.

exploit: F34
layer: /proc/sys is read-only, and the program is not root
kept: an ordinary user can't do it outside of the box either
"""

import os

os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
print("escaped")
