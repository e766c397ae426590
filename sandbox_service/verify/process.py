"""The client of verifier_program.py: starts it, asks, and turns its death into an error: BoxError where the
system ended it, VerifierError where it ended by itself.

It runs beside the service and not in it, because a verifier may import what it likes and holds labels. When
the job's lease is lost it is killed like every other child, and the next job starts another.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import Any

from shared import children, errors
from shared.errors import BoxError, RatchetError, VerifierError
from shared.messages.plain import plain
from shared.messages.records import JsonObject
from shared.packaged import TOP
from shared.tasks.draws import last_line, where
from shared.tasks.task import Task

REPLY_TIMEOUT_S = 600.0  # of a block: many slow programs, waiting for a quiet machine
ALONE = ("score", "toolchain", "baseline")  # what waits for no machine: it is the verifier that is slow
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # its idle threads spin beside what is timed
    "PYTHONIOENCODING": "utf-8:backslashreplace",  # what it prints may be any character, or half of one
}
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class VerifierProcess:
    """One task's verifier, warm. `ask` is for one thread at a time."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sandbox_service.verifier_program", str(task.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
            cwd=TOP,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
            preexec_fn=children.die_with_parent,
        )
        children.register(self._process.pid)

    def ask(self, operation: str, timeout_s: float = REPLY_TIMEOUT_S, **fields: Any) -> Any:
        """The value it answers. Raises what it raised, or BoxError if it died or did not answer in time."""
        assert self._process.stdin is not None
        request = json.dumps({"operation": operation, **fields}) + "\n"
        try:
            self._process.stdin.write(request.encode())
        except BrokenPipeError:
            raise self._dead() from None
        reply: JsonObject = plain(json.loads(self._line(operation, timeout_s)))
        if "error" in reply:
            raise getattr(errors, reply["error"])(reply["message"], reply["hint"])
        return reply["value"]

    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End it, with whatever it has started; its boxes die with it."""
        children.unregister(self._process.pid)
        children.kill_group(self._process.pid)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._stderr):
            if pipe is not None:
                pipe.close()

    def _line(self, operation: str, timeout_s: float) -> bytes:
        assert self._process.stdout is not None
        handle, data = self._process.stdout.fileno(), b""
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            while not data.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self._process.kill()
                    late = f"{self.task.name}: the verifier did not answer {operation} in {timeout_s:g} s"
                    if operation in ALONE:
                        raise VerifierError(late, f"see {self.task.folder / 'verifier.py'}")
                    raise BoxError(late)
                more = os.read(handle, 1 << 16)
                if not more:
                    raise self._dead()
                data += more
        return data

    def _dead(self) -> RatchetError:
        """A signal from outside (memory, a lost lease) may not come again; an end of its own will."""
        code = self._process.wait()
        self._stderr.seek(0)
        tail = self._stderr.read().decode(errors="replace").strip()[-800:]
        if -code in FROM_OUTSIDE:
            return BoxError(
                f"{self.task.name}: the verifier was ended by signal {-code}: {tail or 'it wrote nothing'}",
                "is there enough memory for it?",
            )
        last = last_line(tail) or f"signal {-code}" if code < 0 else last_line(tail) or "it wrote nothing"
        return VerifierError(
            f"{self.task.name}: the verifier ended (exit code {code}): {last}",
            where(tail) or "run `ratchet validate` on the task's folder",
        )

    def __enter__(self) -> VerifierProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
