"""Takes clock, files and processes from the process that runs a scaffold, so that a step can only be a
function of its arguments. For scaffold_host.py, inside the box: standard library only.

    lock(readable)   before any line of the scaffold: this process and its children may read below `readable`,
                     and can't write, share memory, start threads or read a clock
    lock_step()      in each child that runs the scaffold: it can't start, signal or await processes either

Held by the kernel: system calls are allowed by name (seccomp), reading is by folder (Landlock), and the page
from which clocks are read without a system call is replaced by zeros. Not covered: the counter register of
ARM, which only machine code of the scaffold's own could read; the times that /proc shows of its files; the
number of a step's process, which grows from step to step; the kernel's random numbers, which libraries need.
So that chance gains nothing, what a step asks is kept as it was first asked (agent_service/rollout.py).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import struct
import time
from collections.abc import Iterable

from shared.box.bubblewrap.seccomp import (
    ALLOW,
    ANY_BIT,
    ARCH,
    ARCHES,
    AT_LEAST,
    EQUAL,
    ERRNO,
    FIRST_ARGUMENT,
    KILL,
    LOAD,
    NUMBER,
    RETURN,
    Instruction,
)

EPERM, ENOSYS, SIGABRT = 1, 38, 6
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_TSC = 38, 22, 26
SECCOMP_MODE_FILTER, TSC_SIGSEGV = 2, 2
ARGUMENT_BYTES = 8
CLONE_VM = 0x100  # of a thread
WRITES = (
    os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | 0o20000000
)  # the last is O_TMPFILE without a folder
FIRST_NEW_CALL = 424  # Linux 5.1 and later, the same numbers everywhere; libc has an older one for each
# Name: number on x86_64, on aarch64 (None: not there).
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "access": (21, None),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "getpid": (39, 172),
    "exit": (60, 93),
    "wait4": (61, 260),
    "kill": (62, 129),
    "uname": (63, 160),
    "getcwd": (79, 17),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "getppid": (110, 173),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "getdents64": (217, 61),
    "set_tid_address": (218, 96),
    "exit_group": (231, 94),
    "newfstatat": (262, 79),
    "faccessat": (269, 48),
    "set_robust_list": (273, 99),
    "pipe2": (293, 59),
    "getrandom": (318, 278),
    "statx": (332, 291),
    "rseq": (334, 293),
    "close_range": (436, 436),
}
OPENAT, MMAP, CLONE, TGKILL, PRLIMIT = (257, 56), (9, 222), (56, 220), (234, 131), (302, 261)
PRCTL, FCNTL = (157, 167), (72, 25)
F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC = 0, 1, 2, 3, 1030
# Of fcntl; the others leave flags, owners and locks on what all steps share.
OF_ITS_OWN = (F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC)
NOT_IN_A_STEP = (CLONE, ALLOWED["kill"], ALLOWED["pipe2"], ALLOWED["wait4"])
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
READ_FILE_AND_FOLDER, ALL_ACCESS = 0b1100, 0x1FFF  # of Landlock's first version
CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
_libc = ctypes.CDLL(None, use_errno=True)


def lock(readable: Iterable[str]) -> None:
    """Raises OSError where the kernel refuses. Without Landlock nothing at all can be opened any more."""
    _stop_clocks()
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    can_read = _read_below(readable)
    _filter(_host_rules(can_read))


def lock_step() -> None:
    column, _ = ARCHES[platform.machine()]
    numbers = [number for call in NOT_IN_A_STEP if (number := call[column]) is not None]
    _filter([rule for number in numbers for rule in ((EQUAL, 0, 1, number), _end(ERRNO | EPERM))])


def _host_rules(can_read: bool) -> list[Instruction]:
    column, _ = ARCHES[platform.machine()]
    rules: list[Instruction] = []
    for numbers in ALLOWED.values():
        number = numbers[column]
        if number is not None:
            rules += [(EQUAL, 0, 1, number), _end(ALLOW)]
    if can_read:
        rules += _without(OPENAT[column], 2, WRITES)
    rules += _without(MMAP[column], 3, mmap.MAP_SHARED)
    rules += _without(CLONE[column], 0, CLONE_VM)
    rules += _only(TGKILL[column], 2, SIGABRT)
    rules += _only(PRLIMIT[column], 2, 0)  # a null pointer: it sets none
    rules += _only(PRCTL[column], 0, PR_SET_SECCOMP)  # to take away more
    rules += _only(FCNTL[column], 1, *OF_ITS_OWN)
    rules += [(AT_LEAST, 0, 1, FIRST_NEW_CALL), _end(ERRNO | ENOSYS)]
    return [*rules, _end(ERRNO | EPERM)]


def _without(number: int, argument: int, bits: int) -> list[Instruction]:
    """The call is allowed where that argument has none of the bits."""
    place = FIRST_ARGUMENT + ARGUMENT_BYTES * argument
    body: list[Instruction] = [(LOAD, 0, 0, place), (ANY_BIT, 0, 1, bits), _end(ERRNO | EPERM), _end(ALLOW)]
    return [(EQUAL, 0, len(body), number), *body]


def _only(number: int, argument: int, *values: int) -> list[Instruction]:
    """The call is allowed where that argument is one of the values."""
    low = FIRST_ARGUMENT + ARGUMENT_BYTES * argument
    each = [rule for value in values for rule in ((EQUAL, 0, 1, value), _end(ALLOW))]
    body: list[Instruction] = [
        *((LOAD, 0, 0, low + 4), (EQUAL, 0, len(each) + 1, 0), (LOAD, 0, 0, low)),
        *each,
        _end(ERRNO | EPERM),
    ]
    return [(EQUAL, 0, len(body), number), *body]


def _end(value: int) -> Instruction:
    return (RETURN, 0, 0, value)


def _filter(rules: list[Instruction]) -> None:
    _, arch = ARCHES[platform.machine()]
    head = [(LOAD, 0, 0, ARCH), (EQUAL, 1, 0, arch), _end(KILL), (LOAD, 0, 0, NUMBER)]
    program = [*head, *rules, _end(ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *rule) for rule in program))
    _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code)))


def _prctl(option: int, *values: int | bytes) -> None:
    words = [value if isinstance(value, bytes) else ctypes.c_ulong(value) for value in values]
    words += [ctypes.c_ulong(0)] * (4 - len(words))
    if _libc.prctl(option, *words):
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def _read_below(places: Iterable[str]) -> bool:
    """Let this process read below these places only; False where the kernel has no Landlock."""
    ruleset = _libc.syscall(LANDLOCK_CREATE, struct.pack("=Q", ALL_ACCESS), ctypes.c_size_t(8), 0)
    if ruleset < 0:
        return False
    for place in filter(os.path.isdir, places):
        handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", READ_FILE_AND_FOLDER, handle)
        if _libc.syscall(LANDLOCK_ADD, ruleset, 1, rule, 0):
            raise OSError(ctypes.get_errno(), f"Landlock: {place}")
        os.close(handle)
    if _libc.syscall(LANDLOCK_RESTRICT, ruleset, 0):
        raise OSError(ctypes.get_errno(), "Landlock")
    os.close(ruleset)
    return True


def _stop_clocks() -> None:
    """Libraries that take the time find it standing still; all other ways to read it fail."""
    for name in CLOCKS:
        setattr(time, name, lambda: 0.0)
        setattr(time, f"{name}_ns", lambda: 0)
    with open("/proc/self/maps", encoding="ascii") as file:
        pages = [line.split()[0] for line in file if "[vvar" in line]
    _libc.mmap.restype = ctypes.c_void_p
    for page in pages:
        start, end = (int(text, 16) for text in page.split("-"))
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x10  # MAP_FIXED, over what is there
        words = (
            ctypes.c_void_p(start),
            ctypes.c_size_t(end - start),
            mmap.PROT_READ,
            flags,
            -1,
            ctypes.c_long(0),
        )
        if _libc.mmap(*words) != start:
            raise OSError(ctypes.get_errno(), "mmap over the clock's page")
    if platform.machine() == "x86_64":
        _libc.prctl(PR_SET_TSC, TSC_SIGSEGV, 0, 0, 0)  # not everywhere; then only machine code could read it
