"""Runs inside a box, started by probe.py like attack.py: makes the system calls that the filter must
refuse, and prints what got through; nothing where all were refused. Each is chosen so that an unprivileged
program without the filter would get another answer.
"""

import ctypes
import errno
import mmap
import os
import platform
import signal
import socket

LIBC = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
REFUSED = (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT)
# Name: number on x86_64, on aarch64, arguments.
CALLS: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "ptrace": (101, 117, (0x4206, 1 << 30, 0, 0)),  # PTRACE_SEIZE of no process
    "keyctl": (250, 219, (0, -3, 0)),  # KEYCTL_GET_KEYRING_ID of the session
    "add_key": (248, 217, (0, 0, 0, 0, -4)),
    "unshare": (272, 97, (0,)),
    "clone3": (435, 435, (0, 0)),
    "setns": (308, 268, (-1, 0)),
    "bpf": (321, 280, (99, 0, 0)),
    "userfaultfd": (323, 282, (1,)),
    "perf_event_open": (298, 241, (0, 0, -1, -1, 0)),
    "io_uring_setup": (425, 425, (1, 0)),
    "process_vm_readv": (310, 270, (os.getpid(), 0, 0, 0, 0, 0)),
    "open_tree": (428, 428, (-100, 0, 0x1000)),
    "mount": (165, 40, (0, 0, 0, 0, 0)),
    "quotactl": (179, 60, (-1, 0, 0, 0)),
}
I386_GETPID = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20; int 0x80; ret


def refused(number: int, arguments: tuple[int, ...]) -> bool:
    ctypes.set_errno(0)
    words = [ctypes.c_long(word) for word in arguments]
    return LIBC.syscall(ctypes.c_long(number), *words) == -1 and ctypes.get_errno() in REFUSED


def open_family(family: int) -> bool:
    try:
        socket.socket(family, socket.SOCK_RAW if family == socket.AF_NETLINK else socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def survives_foreign_call(code: bytes | None) -> bool:
    """A call of the i386 ABI, or without code of x32, in a child that must be killed for it."""
    child = os.fork()
    if child == 0:
        if code is None:
            LIBC.syscall(ctypes.c_long(0x40000000 | 39))
        else:
            page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            page.write(code)
            ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS)


def main() -> None:
    passed = [name for name, (x86, arm, words) in CALLS.items() if not refused(x86 if X86 else arm, words)]
    names = ("AF_NETLINK", "AF_VSOCK", "AF_PACKET", "AF_ALG")
    passed += [name for name in names if open_family(getattr(socket, name))]
    if X86:
        foreign = {"i386 calls": I386_GETPID, "x32 calls": None}
        passed += [name for name, code in foreign.items() if survives_foreign_call(code)]
    print(f"allowed: {', '.join(passed)}" if passed else "")


if __name__ == "__main__":
    main()
