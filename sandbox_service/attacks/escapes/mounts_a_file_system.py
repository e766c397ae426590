"""Mounts a file system in namespaces of its own.

exploit: F35
layer: the system call filter
kept: some distributions forbid it to programs outside of the box, too
"""

import ctypes
import platform

LIBC = ctypes.CDLL(None, use_errno=True)


def call(x86: int, arm: int, *words: object) -> int:
    number = x86 if platform.machine() == "x86_64" else arm
    return int(
        LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(w) if isinstance(w, int) else w for w in words))
    )


made = call(272, 97, 0x10000000 | 0x20000)
words = (ctypes.c_char_p(b"none"), ctypes.c_char_p(b"/tmp"), ctypes.c_char_p(b"tmpfs"))
if made == 0 and call(165, 40, *words, 0, 0) == 0:
    print("escaped")
