"""Holds the kernel up in the middle of a copy with userfaultfd.

exploit: F35
layer: the system call filter
"""

import ctypes
import platform

LIBC = ctypes.CDLL(None, use_errno=True)


def call(x86: int, arm: int, *words: object) -> int:
    number = x86 if platform.machine() == "x86_64" else arm
    return int(
        LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(w) if isinstance(w, int) else w for w in words))
    )


if call(323, 282, 1) >= 0:
    print("escaped")
