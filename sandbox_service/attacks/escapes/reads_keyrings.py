"""Adds a key to a keyring, which containers share.

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


words = (ctypes.c_char_p(b"user"), ctypes.c_char_p(b"ratchet-attack"), ctypes.c_char_p(b"x"))
if call(248, 217, *words, 1, -2) > 0:
    print("escaped")
