"""Talks to the kernel's BPF machine, a frequent way to its memory.

exploit: F35
layer: the system call filter
kept: an ordinary user is not let in outside of the box either
"""

import ctypes
import platform

LIBC = ctypes.CDLL(None, use_errno=True)


def call(x86: int, arm: int, *words: object) -> int:
    number = x86 if platform.machine() == "x86_64" else arm
    return int(
        LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(w) if isinstance(w, int) else w for w in words))
    )


attributes = ctypes.create_string_buffer(128)
if call(321, 280, 11, attributes, 128) == 0 or ctypes.get_errno() != 1:
    print("escaped")
