"""Lets itself be traced, the first step of taking over another process.

exploit: F35
layer: the system call filter
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


child = os.fork()
if child == 0:
    os._exit(call(101, 117, 0, 0, 0, 0) != 0)
if os.waitpid(child, 0)[1] == 0:
    print("escaped")
