"""Watches the processor through perf events.

exploit: F35
layer: the system call filter
kept: many kernels forbid it to ordinary users
"""

import ctypes
import platform

LIBC = ctypes.CDLL(None, use_errno=True)


def call(x86: int, arm: int, *words: object) -> int:
    number = x86 if platform.machine() == "x86_64" else arm
    return int(
        LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(w) if isinstance(w, int) else w for w in words))
    )


attributes = (ctypes.c_uint32 * 32)(1, 128)
if call(298, 241, attributes, 0, -1, -1, 0) >= 0:
    print("escaped")
