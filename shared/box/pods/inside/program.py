"""The boxed program of a pod, as the pod's first process runs it: limits, pipes, the end of everything.
Standard library only; runner.py imports it where there is no environment.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import subprocess
import time
from functools import partial
from typing import Any

from shared.box.pods.inside import wire

PENDING_BYTES = 1 << 20  # of stdin that the program has not read yet
HARD_STACK_BYTES = 64 << 20
EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


class Program:
    """The boxed program with its pipes."""

    def __init__(self, connection: socket.socket, order: dict[str, Any]) -> None:
        self.connection = connection
        self.limits: dict[str, Any] = order["limits"]
        self.to_a_limit: bool = order["to_a_limit"]
        self.started_s = time.monotonic()
        self.status: int | None = None  # as waitpid returns it
        self.pending = bytearray()
        self.stdin_ends = False
        self.sent_bytes = 0
        self.wakes, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        try:
            self.child: subprocess.Popen[bytes] | None = self._start(order)
        except FileNotFoundError:
            self.child, self.status = None, 127 << 8
        self.streams = self._streams()
        wire.send(connection, wire.UP)

    def _start(self, order: dict[str, Any]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            order["argv"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=order["env"],
            cwd=order["cwd"],
            start_new_session=True,
            preexec_fn=partial(limit, self.limits),
        )

    def _streams(self) -> dict[int, bytes]:
        if self.child is None:
            return {}
        assert self.child.stdout is not None
        assert self.child.stderr is not None
        return {self.child.stdout.fileno(): wire.STDOUT, self.child.stderr.fileno(): wire.STDERR}

    def to_the_end(self) -> dict[str, Any] | None:
        """How it ended; None if the connection to the service ended."""
        outcome = "ok"
        while self.streams or self.status is None:
            left_s = self.started_s + self.limits["wall_s"] - time.monotonic() if self.to_a_limit else 3600.0
            if left_s <= 0:
                outcome = "timeout"
                break
            if not self._step(min(left_s, 0.5)):
                return None
            if self.to_a_limit and self.sent_bytes > self.limits["output_bytes"]:
                outcome = "over_limit"
                break
        wall_s = time.monotonic() - self.started_s
        starved = _out_of_memory()
        end_all()
        code = None if outcome != "ok" or self.status is None else _code(self.status)
        return {"outcome": outcome, "code": code, "starved": starved, "wall_s": wall_s}

    def _step(self, timeout_s: float) -> bool:
        """Pass on what is readable and writable. False if the connection to the service ended."""
        reads: list[Any] = [*self.streams, self.wakes]
        if len(self.pending) < PENDING_BYTES:
            reads.append(self.connection)
        stdin = self._stdin()
        writes = [stdin] if self.pending and stdin is not None else []
        ready, writable, _ = select.select(reads, writes, [], timeout_s)
        for stream in ready:
            if stream is self.connection:
                if not self._receive():
                    return False
                continue
            data = os.read(stream, wire.CHUNK_BYTES)
            if stream == self.wakes:
                continue
            if data:
                self.sent_bytes += len(data)
                wire.send(self.connection, self.streams[stream], data)
            else:
                del self.streams[stream]
        if writable:
            self._feed()
        self._reap()
        return True

    def _receive(self) -> bool:
        frame = wire.receive(self.connection)
        if frame is None:
            return False
        if frame[0] == wire.STDIN and self._stdin() is not None:
            self.pending += frame[1]
        if frame[0] == wire.STDIN_END:
            self.stdin_ends = True
            self._feed()
        return True

    def _stdin(self) -> int | None:
        stdin = self.child.stdin if self.child else None
        return None if stdin is None or stdin.closed else stdin.fileno()

    def _feed(self) -> None:
        handle = self._stdin()
        if handle is None:
            return
        try:
            if self.pending:
                os.set_blocking(handle, False)
                del self.pending[: os.write(handle, self.pending)]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self.pending.clear()
            self.stdin_ends = True
        if self.stdin_ends and not self.pending:
            assert self.child is not None
            assert self.child.stdin is not None
            self.child.stdin.close()

    def _reap(self) -> None:
        """Reap children that ended. Once the program has, every process that it left behind is killed."""
        with contextlib.suppress(ChildProcessError):
            while self.child is not None:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self.child.pid:
                    self.status = status
                    _kill_all()


def limit(limits: dict[str, Any]) -> None:
    """A process's own, set in it."""
    memory, file = limits["memory_mb"] << 20, limits["file_mb"] << 20
    for name, soft, hard in (
        ("RLIMIT_AS", memory, memory),
        ("RLIMIT_CPU", limits["cpu_s"], limits["cpu_s"] + 1),
        ("RLIMIT_FSIZE", file, file),
        ("RLIMIT_NPROC", limits["processes"] + 1, limits["processes"] + 1),  # this runner counts, too
        ("RLIMIT_STACK", 8 << 20, HARD_STACK_BYTES),
        ("RLIMIT_NOFILE", 256, 256),
        ("RLIMIT_CORE", 0, 0),
    ):
        most = resource.getrlimit(getattr(resource, name))[1]  # the container's own may be lower
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(getattr(resource, name), (soft, hard))


def _kill_all() -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)  # all but this process, the pod's first


def end_all() -> None:
    """Every other process of the box, daemons too."""
    _kill_all()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _out_of_memory() -> bool:
    """Whether the kernel killed a process here for want of memory. Mostly it kills this one too, and the
    pod's status states it."""
    for path in EVENTS:
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            words = file.read().split()
            return int(dict(zip(words[::2], words[1::2], strict=False)).get("oom_kill", 0)) > 0
    return False
