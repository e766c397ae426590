"""A program that runs in a box, seen from outside: its pipes, its end, and the reason of its end.

bubblewrap reports on a pipe of its own, which the program does not hold, whether the program was started at
all and how it ended; so a broken box (BoxError) is never mistaken for a broken program, or the reverse.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from shared.box.box import STDERR_TAIL_BYTES, BoxedProcess, BoxOutcome, BoxResult, Limits, outcome_of
from shared.box.bubblewrap.cgroup import Group
from shared.errors import BoxError

GONE_WAITS = 60  # of a second each: a busy machine, or one that was paused, clears a box late
REPORT_BYTES = 1024  # more than bubblewrap's own report, which does not count as output
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Launch:
    """A chain that is ready to start, with what it needs and what is to be cleared away behind it."""

    argv: list[str]
    status: int  # the end that we read bubblewrap's report from
    passed: tuple[int, ...]  # descriptors that go to bubblewrap, closed here once it has them
    group: Group | None


class BubblewrapProcess(BoxedProcess):
    """It dies with the thread that started it (the kernel's parent-death signal goes by thread)."""

    def __init__(self, process: subprocess.Popen[bytes], launch: Launch, stderr: IO[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.stdin: IO[bytes] = process.stdin
        self.stdout: IO[bytes] = process.stdout
        self.pid = process.pid
        self._process = process
        self._launch = launch
        self._stderr = stderr
        self._report: str | None = None

    def alive(self) -> bool:
        return self._process.poll() is None

    def wait(self, timeout_s: float | None = None) -> int | None:
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        return exit_code(self._read_report(), self.stderr_tail())

    def kill(self) -> None:
        end_group(self._process)
        self._read_report()
        for pipe in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def close(self) -> None:
        self.kill()
        self._stderr.close()

    def stderr_tail(self) -> str:
        if self._stderr.closed:
            return ""
        handle = self._stderr.fileno()  # pread: the program writes at the offset that it shares with us
        start = max(0, os.fstat(handle).st_size - STDERR_TAIL_BYTES)
        return os.pread(handle, STDERR_TAIL_BYTES, start).decode(errors="replace")

    def _read_report(self) -> str:
        if self._report is None:
            with os.fdopen(self._launch.status, "rb") as pipe:
                self._report = pipe.read().decode()
            await_gone(self._report)
            if self._launch.group:
                self._launch.group.remove()
        return self._report

    def __enter__(self) -> BubblewrapProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_process(launch: Launch) -> BubblewrapProcess:
    """Start a chain and return its pipes."""
    stderr = tempfile.TemporaryFile()  # the box's file limit binds it  # noqa: SIM115
    return BubblewrapProcess(_popen(launch, stderr), launch, stderr)


def run_process(launch: Launch, limits: Limits, stdin: bytes) -> BoxResult:
    """Run a chain to its end: give it stdin, collect both streams up to the cap, hold the wall clock."""
    started = time.monotonic()
    with _memory_file(stdin) as feed:
        process = _popen(launch, subprocess.PIPE, feed)
    assert process.stdout is not None
    assert process.stderr is not None
    out, err, report = bytearray(), bytearray(), bytearray()
    streams = {process.stdout.fileno(): out, process.stderr.fileno(): err, launch.status: report}
    try:
        ended = _collect(streams, started + limits.wall_s, limits.output_bytes)
    finally:
        end_group(process)
        process.stdout.close()
        process.stderr.close()
        os.close(launch.status)
    await_gone(report.decode())
    starved = _clear(launch.group)
    wall_s = time.monotonic() - started
    if ended != "ok":
        return BoxResult(None, bytes(out), bytes(err), wall_s, ended)
    code = exit_code(report.decode(), err.decode(errors="replace"))
    outcome: BoxOutcome = "over_limit" if starved and code else outcome_of(code)
    return BoxResult(code, bytes(out), bytes(err), wall_s, outcome)


def _clear(group: Group | None) -> bool:
    """Remove a box's group once it is empty; whether the box had run out of memory."""
    if group is None:
        return False
    starved = group.out_of_memory()
    group.remove()
    return starved


def exit_code(report: str, stderr: str) -> int:
    """The program's exit code from bubblewrap's report. Raises BoxError if there is none: it never ran."""
    code = _reported(report, "exit-code")
    if code is None:
        reason = stderr.strip()[-500:] or "no reason given"
        raise BoxError(f"the box did not start: {reason}", "run `ratchet doctor`")
    return code


def await_gone(report: str) -> None:
    """Wait until the last process of a box is gone: its first one ends only after all others have."""
    first = _reported(report, "child-pid")
    if first is None:
        return
    try:
        handle = os.pidfd_open(first)
    except ProcessLookupError:
        return
    try:
        for _ in range(GONE_WAITS):  # not one long wait: after a pause its clock has run out already
            if select.select([handle], [], [], 1.0)[0]:
                return
        raise BoxError(
            f"process {first} outlives its box ({_state(first)})",
            "look at it with ps; it may hang in the kernel",
        )
    finally:
        os.close(handle)


def _state(pid: int) -> str:
    """The state of a process, from /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "gone by now"
    return next((line for line in lines if line.startswith("State:")), "state unknown")


def _reported(report: str, key: str) -> int | None:
    for line in report.splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # cut off: bubblewrap was killed while writing
            value = json.loads(line).get(key)
            if isinstance(value, int):
                return value
    return None


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group and reap. bubblewrap's own death takes the whole box with it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _popen(
    launch: Launch, stderr: int | IO[bytes], stdin: int | IO[bytes] = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            launch.argv,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            env={"PATH": os.environ.get("PATH", os.defpath)},  # /proc/1/environ shows it inside: no secrets
            cwd="/",
            pass_fds=launch.passed,
            start_new_session=True,
        )
    except OSError as error:
        _clear(launch.group)
        reason = f"can't start {launch.argv[0]}: {error.strerror}"
        raise BoxError(reason, "run `ratchet doctor`") from error
    finally:
        for handle in launch.passed:
            os.close(handle)


def _memory_file(data: bytes) -> IO[bytes]:
    file = os.fdopen(os.memfd_create("stdin"), "w+b")
    file.write(data)
    file.seek(0)
    return file


def _collect(streams: dict[int, bytearray], deadline: float, cap_bytes: int) -> BoxOutcome:
    """Read until every stream is closed ("ok"), the deadline, or the cap on all of them together."""
    with selectors.DefaultSelector() as selector:
        for fd in streams:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            left_s = deadline - time.monotonic()
            ready = selector.select(left_s) if left_s > 0 else []
            if not ready:
                return "timeout"
            for key, _ in ready:
                data = os.read(key.fd, CHUNK_BYTES)
                streams[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
            if sum(map(len, streams.values())) > cap_bytes + REPORT_BYTES:
                return "over_limit"
    return "ok"
