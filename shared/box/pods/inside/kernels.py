"""The timing part of a box's first process: it loads the baseline and one candidate, each in a process of its
own, and takes the time. The service can't: it is on another machine.

A candidate shares uid and pod with the baseline and with this process. It can't stop or end this process, the
pod's first; nor look into it or into the baseline, which are not dumpable; nor find the baseline's memory,
which has no name; and kernel_driver.c blocks the system calls by which one process acts on another. What a
candidate returns is checked by the service. Standard library only; runner.py imports it where there is no
environment.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import time
from functools import partial
from typing import Any

from shared.box import kernel_call
from shared.box.pods.inside import wire
from shared.box.pods.inside.program import limit

POISON = (0x7FC0_D1CE).to_bytes(4, "little")  # as in sandbox_service/verify/layout.py
EXIT_S = 2.0  # for a process that closed its pipe to be gone


class Process:
    """One program of the pod: the driver with its library, and memory that only it and this process map."""

    def __init__(self, words: dict[str, Any]) -> None:
        """`words`: the driver's command line in parts, as the service sends it."""
        self._memory = os.memfd_create("arena")
        self._start, self._size = words["outputs_start"], words["size_bytes"]
        os.ftruncate(self._memory, self._size)
        arguments = [words["library"], f"/proc/self/fd/{self._memory}", *words["rest"]]
        self._child = subprocess.Popen(
            [words["driver"], *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,  # the driver's: it closes the candidate's stderr before loading it
            bufsize=0,
            env=words["env"],
            pass_fds=(self._memory,),
            start_new_session=True,
            preexec_fn=partial(limit, words["limits"]),
        )

        assert self._child.stdin is not None
        orders = self._child.stdin.fileno()
        self._kernel = kernel_call.KernelProcess(
            self._child.pid, orders, self._replies(), self._child.send_signal
        )

    def load(self, timeout_s: float) -> dict[str, Any]:
        """Its constructors run now, before any input; then it is stopped."""
        replies = self._replies()
        first = kernel_call.read_exactly(replies, 1, kernel_call.START_TIMEOUT_S)
        if first != kernel_call.SHUT_IN_DONE:
            return {"outcome": "not started", "detail": self._complaint()}
        signal = kernel_call.read_exactly(replies, 1, timeout_s)
        try:
            self._kernel.stop()
        except kernel_call.RunsOnError:
            return self._failed({"outcome": "runs on"})
        if signal is None:
            return self._failed({"outcome": "late"})
        if signal != kernel_call.LOADED:
            return self._failed({"outcome": "ended", "code": self._code()})
        return {"outcome": "loaded"}

    def run(self, inputs: bytes, number: bytes, timeout_s: float) -> tuple[dict[str, Any], bytes]:
        """One call on `inputs`; its outcome, and the bytes in the place of the outputs."""
        whole = inputs + POISON * ((self._size - self._start) // len(POISON))
        kernel_call.write_whole(self._memory, whole)
        try:
            elapsed_s, reply = self._kernel.call(number, timeout_s)
        except kernel_call.RunsOnError:
            return self._failed({"outcome": "runs on"}), b""
        if reply is None:
            return self._failed({"outcome": "late"}), b""
        if len(reply) < len(number):
            return self._failed({"outcome": "ended", "code": self._code()}), b""
        outputs = kernel_call.read_there(self._memory, self._start, self._size - self._start)
        return {"outcome": "done", "elapsed_s": elapsed_s, "reply": reply.hex()}, outputs

    def kept_still(self) -> bool:
        """Whether it has stayed stopped since its last call; one that has not is killed."""
        still = self._kernel.kept_still()
        if not still:
            self._child.kill()
        return still

    def _failed(self, answer: dict[str, Any]) -> dict[str, Any]:
        self._child.kill()
        return answer

    def _complaint(self) -> str:
        assert self._child.stderr is not None
        self._child.kill()
        return self._child.stderr.read(300).decode(errors="replace").strip()

    def _replies(self) -> int:
        assert self._child.stdout is not None
        return self._child.stdout.fileno()

    def _code(self) -> int | None:
        """Its exit code, a signal s as 128 + s; None if it lives, without its pipes."""
        deadline = time.monotonic() + EXIT_S
        while (code := self._child.poll()) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return 128 - code if code is not None and code < 0 else code


def _keep_to(cpus: int) -> None:
    """All programs of the pod on the same cores. Where the node gave it none of its own these are drawn:
    other pods would take the first ones, too."""
    given = sorted(os.sched_getaffinity(0))
    if len(given) > cpus:
        os.sched_setaffinity(0, random.sample(given, cpus))


def serve(connection: socket.socket, cpus: int) -> None:
    """Answer the service's requests in turn, until the connection ends."""
    _keep_to(cpus)
    processes: list[Process] = []
    wire.send(connection, wire.UP)
    while (frame := wire.receive(connection)) is not None:
        kind, payload = frame
        head, _, data = payload.partition(b"\n")
        request = json.loads(head)
        moved: set[int] = set()
        if kind == wire.LOAD:
            processes.append(Process(request))
            answer, outputs = processes[-1].load(request["timeout_s"]), b""
        else:
            number, called = bytes.fromhex(request["number"]), request["program"]
            moved = _moved(processes, but=called)
            answer, outputs = processes[called].run(data, number, request["timeout_s"])
            moved |= _moved(processes, but=called)
        head = json.dumps(answer | {"moved": sorted(moved)}).encode()
        wire.send(connection, wire.DONE, head + b"\n" + outputs)


def _moved(processes: list[Process], *, but: int) -> set[int]:
    """The programs that did not stay stopped while another one was called."""
    return {index for index, one in enumerate(processes) if index != but and not one.kept_still()}
