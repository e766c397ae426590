"""A candidate that is loaded and can be timed, wherever it runs: on this machine (boxed_kernel.py), or in a
pod (pod_kernel.py). What it did wrong is data, on its way to an Evaluation.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Protocol

from sandbox_service.failure import CandidateFailedError
from sandbox_service.verify.layout import Arrays

OVER_MEMORY, CANNOT_LOAD = 97, 99  # exit codes of kernel_driver.c
WROTE = "it wrote on the driver's pipe"
CLOSED = "it closed the driver's pipes"
RAN_ON = "it could not be stopped, or did not stay stopped, while other programs were timed"


@dataclass(frozen=True)
class Quota:
    """What each program may use."""

    threads: int
    memory_mb: int
    cpu_s: int


class Kernel(Protocol):
    """load (once), then fill, run, outputs as often as wanted. load and run raise CandidateFailedError; the
    program is killed then.
    """

    def load(self, timeout_s: float) -> None: ...

    def fill(self, inputs: Arrays) -> None:
        """Inputs for the next run, and poison over every output."""
        ...

    def run(self, timeout_s: float) -> float:
        """One call; returns its wall time in seconds. Afterwards the program is stopped."""
        ...

    def outputs(self) -> Arrays: ...

    def kept_still(self) -> bool:
        """Whether it has stayed stopped and alive since its last run, and used no processor time. One that
        has not is killed now."""
        ...


def late(what: str, timeout_s: float) -> CandidateFailedError:
    return CandidateFailedError("timeout", f"{what} after {timeout_s:.1f} s")


def death(code: int, memory_mb: int) -> CandidateFailedError:
    """A candidate's exit code in words. A signal s is 128 + s."""
    if code == OVER_MEMORY:
        return CandidateFailedError("over_limit", f"out of memory: it may use {memory_mb} MB")
    if code == CANNOT_LOAD:
        return CandidateFailedError("crashed", "it could not be loaded")
    if code == 128 + signal.SIGSYS:
        return CandidateFailedError("over_limit", "it tried to start a process, or another forbidden call")
    if code == 128 + signal.SIGXCPU:
        return CandidateFailedError("timeout", "out of processor time")
    if code == 128 + signal.SIGKILL:
        return CandidateFailedError("over_limit", "killed by the system: out of memory or processor time")
    if code > 128:
        return CandidateFailedError("crashed", signal.strsignal(code - 128) or f"signal {code - 128}")
    return CandidateFailedError("crashed", f"it ended (exit code {code}) before the kernel returned")
