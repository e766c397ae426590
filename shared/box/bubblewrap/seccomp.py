"""The system calls that no box may make, as a BPF program for bubblewrap's --seccomp. It backs up the
namespaces: calls to what no namespace isolates (keyrings, io_uring, bpf, AF_VSOCK), and calls that become a
way out when the kernel has a bug (new namespaces, mounts, ptrace). Calls of a foreign ABI end the process.
"""

from __future__ import annotations

import errno
import os
import platform
import struct

# Name: number on x86_64, number on aarch64 (None: not there).
DENIED: dict[str, tuple[int, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "unshare": (272, 97),
    "setns": (308, 268),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "mount": (165, 40),
    "umount2": (166, 39),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "fanotify_init": (300, 262),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
}
CLONE, CLONE3, SOCKET, IOCTL = (56, 220), (435, 435), (41, 198), (16, 29)
ARCHES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH_*
X32_CALLS = 0x40000000  # x86_64 numbers from here on belong to the x32 ABI
NEW_NAMESPACES = 0x7E020000  # CLONE_NEW* that clone takes
SOCKET_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: an empty network namespace holds these
TERMINAL_INPUT = 0x5412  # TIOCSTI writes into the terminal that started this process

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF opcodes
NUMBER, ARCH, FIRST_ARGUMENT, SECOND_ARGUMENT = 0, 4, 16, 24  # offsets in struct seccomp_data
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
Instruction = tuple[int, int, int, int]  # opcode, jump if true, jump if false, operand


def filter_program(machine: str | None = None) -> bytes:
    """The compiled filter; empty for a machine whose calls it does not know, which the probe then reports."""
    known = ARCHES.get(machine or platform.machine())
    if known is None:
        return b""
    column, arch = known
    program: list[Instruction] = [(LOAD, 0, 0, ARCH), (EQUAL, 1, 0, arch), _end(KILL), (LOAD, 0, 0, NUMBER)]
    if column == 0:
        program += [(AT_LEAST, 0, 1, X32_CALLS), _end(KILL)]
    for numbers in DENIED.values():
        number = numbers[column]
        if number is not None:
            program += [(EQUAL, 0, 1, number), _refuse(errno.EPERM)]
    program += [(EQUAL, 0, 1, CLONE3[column]), _refuse(errno.ENOSYS)]  # flags unseen: libc then takes clone
    program += _on_argument(
        CLONE[column], FIRST_ARGUMENT, [(ANY_BIT, 0, 1, NEW_NAMESPACES), _refuse(errno.EPERM)]
    )
    program += _on_argument(
        IOCTL[column], SECOND_ARGUMENT, [(EQUAL, 0, 1, TERMINAL_INPUT), _refuse(errno.EPERM)]
    )
    families = [rule for family in SOCKET_FAMILIES for rule in ((EQUAL, 0, 1, family), _end(ALLOW))]
    program += _on_argument(SOCKET[column], FIRST_ARGUMENT, [*families, _refuse(errno.EAFNOSUPPORT)])
    return b"".join(struct.pack("=HBBI", *rule) for rule in [*program, _end(ALLOW)])


def filter_file() -> int | None:
    """A descriptor to read the filter from, for one bubblewrap: it reads to the end."""
    program = filter_program()
    if not program:
        return None
    handle = os.memfd_create("box-seccomp")
    os.write(handle, program)
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def _on_argument(number: int, offset: int, rules: list[Instruction]) -> list[Instruction]:
    """Rules on one argument of one call; every other call jumps over them."""
    body: list[Instruction] = [(LOAD, 0, 0, offset), *rules, _end(ALLOW)]
    return [(EQUAL, 0, len(body), number), *body]


def _refuse(number: int) -> Instruction:
    return _end(ERRNO | number)


def _end(value: int) -> Instruction:
    return (RETURN, 0, 0, value)
