"""One candidate and the baseline in a pod of their own, as the service sees them. The program inside the pod
(shared/box/pods/inside/kernels.py) runs and times them; everything it reports is checked here.
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from sandbox_service.failure import CandidateFailedError
from sandbox_service.timed.kernel import CLOSED, RAN_ON, WROTE, Kernel, Quota, death, late
from sandbox_service.verify.layout import Arrays, Layout
from shared.box.box import BASE_ENV, Bind, Limits
from shared.box.kernel_call import NUMBER_BYTES
from shared.box.pods.box import PodBox
from shared.box.pods.inside import wire
from shared.box.pods.spec import End
from shared.errors import BoxError
from shared.messages.records import JsonObject

COPIES = 4  # of a program's memory, that the pod's first process holds on their way
GRACE_S = 60.0  # above what the pod may wait for a program, for the inputs and outputs to come and go
OWN_THREADS = 64  # of the baseline, beside all that a candidate may start


class PodKernel(Kernel):
    """The program of number `index` in a pod."""

    def __init__(self, pod: _Pod, index: int, order: JsonObject, layout: Layout) -> None:
        self._pod, self._index, self._order, self._layout = pod, index, order, layout
        self._inputs = self._left = b""

    def load(self, timeout_s: float) -> None:
        report, _ = self._pod.ask(wire.LOAD, {**self._order, "timeout_s": timeout_s}, b"", timeout_s)
        if report["outcome"] == "not started":
            raise BoxError(f"the kernel driver did not start: {report['detail']}")
        self._refuse(report, "not loaded", timeout_s)

    def fill(self, inputs: Arrays) -> None:
        self._inputs = self._layout.packed(inputs)

    def run(self, timeout_s: float) -> float:
        number = secrets.token_bytes(NUMBER_BYTES)
        order = {"program": self._index, "number": number.hex(), "timeout_s": timeout_s}
        report, self._left = self._pod.ask(wire.CALL, order, self._inputs, timeout_s)
        self._refuse(report, "no result", timeout_s)
        if bytes.fromhex(report["reply"]) != number:
            raise CandidateFailedError("crashed", WROTE)
        return float(report["elapsed_s"])

    def outputs(self) -> Arrays:
        return self._layout.unpacked(self._left)

    def kept_still(self) -> bool:
        return self._index not in self._pod.moved

    def _refuse(self, report: JsonObject, what: str, timeout_s: float) -> None:
        if report["outcome"] == "late":
            raise late(what, timeout_s)
        if report["outcome"] == "runs on":
            raise CandidateFailedError("over_limit", RAN_ON)
        if report["outcome"] == "ended":
            if report["code"] is None:
                raise CandidateFailedError("crashed", CLOSED)
            raise death(report["code"], self._pod.memory_mb)


class _Pod:
    """The connection to the first process of a pod."""

    def __init__(self, connection: socket.socket, settle: Callable[[], End], memory_mb: int) -> None:
        self._connection, self._settle, self.memory_mb = connection, settle, memory_mb
        self.moved: set[int] = set()  # programs that did not stay stopped while another one ran

    def ask(self, kind: bytes, order: JsonObject, data: bytes, timeout_s: float) -> tuple[JsonObject, bytes]:
        """The pod's reply. Raises BoxError where the pod is gone, CandidateFailedError if for want of
        memory."""
        self._connection.settimeout(timeout_s + GRACE_S)
        try:
            wire.send(self._connection, kind, json.dumps(order).encode() + b"\n" + data)
            while (frame := wire.receive(self._connection)) is not None and frame[0] == wire.UP:
                continue
        except OSError:
            frame = None
        if frame is None:
            raise self._gone()
        if frame[0] == wire.FAULT:
            raise BoxError(f"a pod for timing did not start: {frame[1].decode(errors='replace')}")
        head, _, outputs = frame[1].partition(b"\n")
        answer: JsonObject = json.loads(head)
        self.moved.update(answer["moved"])
        return answer, outputs

    def _gone(self) -> Exception:
        if self._settle() == "out of memory":
            return CandidateFailedError("over_limit", f"out of memory: it may use {self.memory_mb} MB")
        return BoxError("a pod for timing has reached the end of its life")


@contextmanager
def pod_kernels(
    box: PodBox, driver: Path, quota: Quota, layout: Layout, libraries: Sequence[Path]
) -> Iterator[list[Kernel]]:
    """The programs of `libraries` in one pod, to be loaded in this order; the last is the one that is not
    ours."""
    arena_mb = max(1, -(-layout.size_bytes >> 20))
    own = Limits(memory_mb=quota.memory_mb + arena_mb, file_mb=arena_mb, cpu_s=quota.cpu_s)
    binds = [Bind(library, f"/kernel/{index}.so") for index, library in enumerate(libraries)]
    limits = Limits(memory_mb=len(libraries) * own.memory_mb + COPIES * arena_mb, file_mb=arena_mb)
    with box.timing([Bind(driver, "/kernel/driver"), *binds], limits, quota.threads) as (connection, settle):
        pod = _Pod(connection, settle, quota.memory_mb)
        orders = [
            _order(index, len(libraries), quota.threads, own, layout) for index in range(len(libraries))
        ]
        yield [PodKernel(pod, index, order, layout) for index, order in enumerate(orders)]


def _order(index: int, programs: int, threads: int, limits: Limits, layout: Layout) -> JsonObject:
    """The order that starts a program in the pod. Threads count for all of a pod together, so the baseline
    may have more: whatever a candidate starts, it can start its own."""
    processes = (index + 1) * (threads + 4) + (OWN_THREADS if index < programs - 1 else 0)
    return {
        "driver": "/kernel/driver",
        "library": f"/kernel/{index}.so",
        "rest": [threads, *layout.words()],
        "outputs_start": layout.outputs_start,
        "size_bytes": layout.size_bytes,
        "env": dict(BASE_ENV),
        "limits": asdict(replace(limits, processes=processes)),
    }
