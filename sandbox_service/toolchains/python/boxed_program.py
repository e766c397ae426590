"""One Python candidate in a boxed process of its own: started cold, given its inputs, and gone afterwards.

Inputs, outputs and the report are single files bound into the box. A file that is a mount can be neither
replaced (by a link, a pipe) nor joined by others, and its size is limited: the host's disk can't be filled.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sandbox_service.failure import CandidateFailedError
from sandbox_service.toolchains.python.runner import DETAIL_CHARS, READY
from sandbox_service.verify.array_files import ArrayFileError, Values, read_arrays
from shared.box.box import Bind, Box, BoxResult, Limits, hiding_binds
from shared.errors import BoxError
from shared.messages.records import Outcome
from shared.tasks.task import AttemptSection

SERVICE = Path(__file__).resolve().parents[2]
ROOT = "/candidate"
REPORTED: tuple[Outcome, ...] = ("compile_error", "crashed", "no_output", "wrong", "over_limit")
REPORT_BYTES = 8 * DETAIL_CHARS
PRINTED_BYTES = 1_000_000
PRINTED_CHARS = 500  # of what a program printed before it died
OUTPUT_SHARE = 4  # outputs, and scratch files, may be a quarter of the memory limit
THREAD_VARIABLES = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA", "BLIS")
WRITABLE = {"NUMBA_CACHE_DIR": "/tmp/numba", "MPLCONFIGDIR": "/tmp/matplotlib", "JOBLIB_TEMP_FOLDER": "/tmp"}


@dataclass(frozen=True)
class Job:
    """What a candidate is called with, and what it may use. The same for all candidates of an instance."""

    box: Box
    entry: str
    inputs: Path
    limits: AttemptSection


def run_program(job: Job, source: str, folder: Path) -> float:
    """Run it; its outputs lie in `folder`, which is its own, for read_outputs. Returns seconds.

    Raises CandidateFailedError, or BoxError if the candidate was never started.
    """
    for name in ("outputs", "report"):
        (folder / name).touch()
    (folder / "candidate.py").write_text(source, encoding="utf-8", errors="replace")
    result = job.box.run(_argv(job), binds=_binds(job, folder), limits=_limits(job), env=_env(job))
    if not result.stdout.startswith(READY):
        raise BoxError(
            f"a candidate's interpreter did not start: {_printed(result) or result.outcome}",
            "run `ratchet doctor`; in task.toml candidate_s or candidate_memory_mb may be too small",
        )
    _raise_failure(job, result, folder / "report")
    return result.wall_s


def read_outputs(job: Job, folder: Path) -> Values:
    """What the candidate wrote. Raises CandidateFailedError."""
    with _opened(folder / "outputs", _output_bytes(job)) as (file, size):
        if size == 0:
            raise CandidateFailedError("no_output", f"the program ended before {job.entry} had returned")
        try:
            return read_arrays(file, size)
        except ArrayFileError as error:
            raise CandidateFailedError("wrong", f"its output can't be read: {error}") from None


def _argv(job: Job) -> list[str]:
    files = [f"{ROOT}/{name}" for name in ("inputs", "outputs", "report")]
    runner = f"{ROOT}/sandbox_service/toolchains/python/runner.py"
    return [sys.executable, "-s", "-P", "-B", runner, f"{ROOT}/candidate.py", job.entry, *files]


def _binds(job: Job, folder: Path) -> list[Bind]:
    ours = [SERVICE / "toolchains/python/runner.py", SERVICE / "verify/array_files.py"]
    return [
        *hiding_binds(job.limits.hidden),
        *(Bind(path, f"{ROOT}/sandbox_service/{path.relative_to(SERVICE)}") for path in ours),
        Bind(folder / "candidate.py", f"{ROOT}/candidate.py"),
        Bind(job.inputs, f"{ROOT}/inputs"),
        Bind(folder / "outputs", f"{ROOT}/outputs", writable=True),
        Bind(folder / "report", f"{ROOT}/report", writable=True),
    ]


def _limits(job: Job) -> Limits:
    allowed = job.limits
    return Limits(
        wall_s=allowed.candidate_s,
        cpu_s=max(1, round(allowed.candidate_s * allowed.threads)),
        memory_mb=allowed.candidate_memory_mb,
        processes=8 + 4 * allowed.threads,  # BLAS, OpenMP and numba each keep threads of their own
        file_mb=_output_bytes(job) >> 20,
        output_bytes=PRINTED_BYTES,
    )


def _env(job: Job) -> dict[str, str]:
    threads = {f"{name}_NUM_THREADS": str(job.limits.threads) for name in THREAD_VARIABLES}
    return {"PYTHONPATH": ROOT, "LOKY_MAX_CPU_COUNT": str(job.limits.threads), **threads, **WRITABLE}


def _output_bytes(job: Job) -> int:
    return max(1, job.limits.candidate_memory_mb // OUTPUT_SHARE) << 20


def _raise_failure(job: Job, result: BoxResult, report: Path) -> None:
    """Raises CandidateFailedError unless the program ended well. The box's report takes precedence."""
    memory = f"out of memory: it may use {job.limits.candidate_memory_mb} MB"
    if result.outcome == "timeout":
        raise CandidateFailedError("timeout", f"not done after {job.limits.candidate_s:g} s")
    if result.outcome == "over_limit":
        printed = f"it printed more than {PRINTED_BYTES >> 10} kB"
        raise CandidateFailedError("over_limit", printed if result.exit_code is None else memory)
    if (reported := _reported(report)) is not None:
        outcome, detail = reported
        raise CandidateFailedError(outcome, f"{memory}\n{detail}" if "MemoryError" in detail else detail)
    if result.exit_code == 128 + signal.SIGKILL:
        raise CandidateFailedError("over_limit", f"killed by the system; {memory}")
    if result.outcome != "ok":
        code = result.exit_code or 0
        how = (signal.strsignal(code - 128) if code > 128 else None) or f"it ended with exit code {code}"
        raise CandidateFailedError("crashed", f"{how}\n{_printed(result)}".strip())


def _reported(report: Path) -> tuple[Outcome, str] | None:
    """The report that the runner, or a candidate in its place, left: it only describes its own failure."""
    with _opened(report, REPORT_BYTES) as (file, _):
        text = file.read()
    try:
        fields = json.loads(text)
        outcome, detail = fields["outcome"], str(fields["detail"])[:DETAIL_CHARS]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return (outcome, detail) if outcome in REPORTED else None


@contextmanager
def _opened(path: Path, most_bytes: int) -> Iterator[tuple[IO[bytes], int]]:
    """A file that the box could write: of its own, regular, with one name and no larger than allowed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise CandidateFailedError("no_output", f"{path.name}: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise CandidateFailedError("wrong", f"{path.name} is not a plain file")
        if found.st_size > most_bytes:
            raise CandidateFailedError("over_limit", f"{path.name}: more than {most_bytes >> 10} kB")
        yield file, found.st_size


def _printed(result: BoxResult) -> str:
    return result.stderr.decode(errors="replace").strip()[-PRINTED_CHARS:]
