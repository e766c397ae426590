"""Runs a harness's scaffold step by step, each harness in a warm boxed process of its own
(scaffold_host.py is the program inside). A process that loops or dies is replaced on next use.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from shared.box.box import Bind, Box, BoxedProcess, Limits, hiding_binds
from shared.errors import BoxError
from shared.harness.actions import ScaffoldFailed, check_action, check_demonstrations
from shared.harness.bundle import SCAFFOLD, Harness
from shared.harness.scaffold_check import reads_knobs
from shared.messages.plain import plain
from shared.messages.proposals import Demonstration
from shared.messages.records import JsonObject, Parent, canonical_json, public_view
from shared.tasks.task import AttemptSection, Task

__all__ = ["ScaffoldFailed", "ScaffoldPool", "scaffold_context"]

HOST_PROGRAM = Path(__file__).with_name("scaffold_host.py")
WARM = 8  # processes kept: base and proposed harness of a few runs
LOAD_TIMEOUT_S = 60.0  # to import scikit-learn from a cold disk on a busy machine
LINE_BYTES = 2 << 20  # above scaffold_host.CAP_BYTES
LIFE_CPU_S = 7 * 86_400  # a warm process has no CPU limit of its own: every step has its wall limit
PROCESSES = 16
PUBLIC = "/public"  # where a scaffold finds its task's public folder

# Owner, harness, and what its box is given: memory, public folder, hidden files, knobs that it prepares by.
Key = tuple[str, str, int, Path | None, tuple[str, ...], str]


def scaffold_context(task: Task, harness: Harness, parent: Parent | None, seed: int) -> JsonObject:
    """The `context` of a step. `public` is there only where the task has public files."""
    context: JsonObject = {
        "prompts": harness.prompts,
        "exemplars": harness.exemplars,
        "parent": parent.model_dump(include={"content", "reply", "score", "metrics"}) if parent else None,
        "limits": task.manifest.attempt.model_dump(),
        "seed": seed,
    }
    return context | ({"public": PUBLIC} if task.public else {})


class ScaffoldPool:
    """Context manager. `step` may be called from several threads; it serves one at a time."""

    def __init__(self, box: Box, *, warm: int = WARM) -> None:
        self._box = box
        self._most = warm
        self._hosts: OrderedDict[Key, _Host] = OrderedDict()
        self._lock = threading.Lock()
        self._starter = ThreadPoolExecutor(
            1, "scaffold-starter"
        )  # a box dies with the thread that started it

    def step(
        self,
        harness_digest: str,
        folder: Path,
        payload: JsonObject,
        limits: AttemptSection,
        public: Path | None = None,
        owner: str = "",
    ) -> JsonObject:
        """One step of the scaffold in `folder`: payload is {instance, history, knobs, context}. It may read
        `public`, a folder that does not change any more. Steps of different owners (a run's arms) never share
        a process.

        Raises ScaffoldFailed (the scaffold's fault: data) or BoxError (not its fault: tried again).
        """
        replies = sum(len(turn.get("replies", ())) for turn in payload["history"])
        answer = self._call((owner, harness_digest), folder, payload, limits, public)
        return check_action(answer.get("action"), limits, replies)

    def demonstrate(
        self,
        harness_digest: str,
        folder: Path,
        payload: JsonObject,
        limits: AttemptSection,
        public: Path | None = None,
    ) -> list[Demonstration]:
        """Prompts with right replies, by the scaffold's demonstrate: payload is {instance, answer, knobs,
        context}. Raises as `step` does."""
        answer = self._call(("", harness_digest), folder, payload, limits, public)
        return check_demonstrations(answer.get("demonstrations"), str(payload["instance"].get("id", "")))

    def _call(
        self,
        whose: tuple[str, str],
        folder: Path,
        payload: JsonObject,
        limits: AttemptSection,
        public: Path | None,
    ) -> JsonObject:
        payload = {**payload, "instance": public_view(payload["instance"])}
        prepared_by = canonical_json(payload["knobs"]).decode() if _prepares_by_knobs(folder) else ""
        key = (*whose, limits.step_memory_mb, public, limits.hidden, prepared_by)
        with self._lock:
            host = self._host(key, folder, payload["knobs"])
            try:
                answer = host.exchange(json.dumps(payload).encode() + b"\n", limits.step_s)
            except (ScaffoldFailed, BoxError):
                self._drop(key)
                raise
        if "failed" in answer:
            raise ScaffoldFailed(str(answer["failed"]))
        return answer

    def _host(self, key: Key, folder: Path, knobs: JsonObject) -> _Host:
        host = self._hosts.get(key)
        if host is not None and host.process.alive():
            self._hosts.move_to_end(key)
            return host
        self._drop(key)
        while len(self._hosts) >= self._most:
            self._drop(next(iter(self._hosts)))
        host = self._starter.submit(_start, self._box, folder, key, knobs).result()
        self._hosts[key] = host
        return host

    def _drop(self, key: Key) -> None:
        host = self._hosts.pop(key, None)
        if host is not None:
            host.close()

    def close(self) -> None:
        with self._lock:
            for key in list(self._hosts):
                self._drop(key)
            self._starter.shutdown()

    def __enter__(self) -> ScaffoldPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Host:
    """A boxed scaffold_host and its pipes."""

    def __init__(self, process: BoxedProcess) -> None:
        self.process = process
        self._buffer = b""
        os.set_blocking(process.stdin.fileno(), False)

    def exchange(self, line: bytes, timeout_s: float) -> JsonObject:
        """One request, one answer. Raises ScaffoldFailed if it loops, dies or answers nonsense."""
        deadline = time.monotonic() + timeout_s
        late = f"step took longer than {timeout_s:g} s"
        with contextlib.suppress(BrokenPipeError):  # it died: read() reports how
            while line:
                if not select.select([], [self.process.stdin], [], max(0.0, deadline - time.monotonic()))[1]:
                    raise ScaffoldFailed(late)
                line = line[os.write(self.process.stdin.fileno(), line) :]
        return self.read(deadline, late)

    def read(self, deadline: float, late: str) -> JsonObject:
        while b"\n" not in self._buffer:
            left_s = max(0.0, deadline - time.monotonic())
            if not select.select([self.process.stdout], [], [], left_s)[0]:
                raise ScaffoldFailed(late)
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                code = self.process.wait(1.0)  # BoxError if bubblewrap itself was killed
                raise ScaffoldFailed(f"the scaffold ended its process (exit code {code})")
            self._buffer += data
            if len(self._buffer) > LINE_BYTES:
                raise ScaffoldFailed(f"the action is longer than {LINE_BYTES} bytes")
        line, self._buffer = self._buffer.split(b"\n", 1)
        return _object(line)

    def close(self) -> None:
        self.process.close()


@cache
def _prepares_by_knobs(folder: Path) -> bool:
    """Whether what the scaffold prepares depends on its knobs. The folder of a harness never changes."""
    return reads_knobs((folder / SCAFFOLD).read_text(encoding="utf-8"), "prepare")


def _start(box: Box, folder: Path, key: Key, knobs: JsonObject) -> _Host:
    """A host whose scaffold is loaded and has prepared. What fails before it is up is the box's fault."""
    _, _, memory_mb, public, hidden, _ = key
    limits = Limits(cpu_s=LIFE_CPU_S, memory_mb=memory_mb, processes=PROCESSES)
    given = json.dumps({"public": PUBLIC if public else None, "knobs": knobs})
    argv = [
        sys.executable,
        "-s",
        "-P",
        "-B",
        str(HOST_PROGRAM),
        "/harness/scaffold.py",
        given,
    ]
    binds = [*hiding_binds(hidden), Bind(folder, "/harness"), *([Bind(public, PUBLIC)] if public else [])]
    host = _Host(box.start(argv, binds=binds, limits=limits, env={"OMP_NUM_THREADS": "1"}))
    deadline = time.monotonic() + LOAD_TIMEOUT_S
    try:
        try:
            host.read(deadline, "the interpreter did not come up")
        except ScaffoldFailed as error:
            raise BoxError(f"{error}: {host.process.stderr_tail()}", "run `ratchet doctor`") from None
        loaded = host.read(deadline, f"scaffold.py did not load within {LOAD_TIMEOUT_S:g} s")
        if "not locked" in loaded:
            why = f"a scaffold's process can't be locked: {loaded['not locked']}"
            raise BoxError(why, "the kernel needs CONFIG_SECCOMP_FILTER")
        if "failed" in loaded:
            raise ScaffoldFailed(str(loaded["failed"]))
    except (ScaffoldFailed, BoxError):
        host.close()
        raise
    return host


def _object(line: bytes) -> JsonObject:
    try:
        value: Any = plain(json.loads(line))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ScaffoldFailed("the scaffold's process answered with invalid JSON")
    return value
