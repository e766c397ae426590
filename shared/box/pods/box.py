"""A box that is a pod: one for each program, made from a template of the cluster and gone when the program
is; for a scaffold one that stays warm. The same contract as bubblewrap's box, for clusters whose pods may
not make namespaces.

What differs, in a pod: a read-only bind is a copy, so changes to it are lost with the pod; links and
pipes that a program leaves in a writable bind stay behind; a file can't be bound directly under the root.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from shared.box.box import BASE_ENV, NO_ENV, SHARED, Bind, Box, BoxedProcess, BoxResult, Limits
from shared.box.pods.api import PodApi
from shared.box.pods.process import PodProcess, connect, run_to_the_end
from shared.box.pods.spec import DEADLINE_GRACE_S, LABEL, PORT, End, address_of, end_of, pod_of, why_not_yet
from shared.errors import BoxError
from shared.messages.records import JsonObject

RUNNER = str(SHARED / "box/pods/inside/runner.py")
BARE_PYTHON = "/usr/bin/python3"  # of the image without our environment
POLL_S = 0.1
SETTLE_S = 15.0  # until a pod's status has the reason of its end
SWEEP_S = 60.0  # between two sweeps, and how long one that ended is left for its owner to read
_log = logging.getLogger(__name__)


class BoxSettings(BaseModel):
    """How a service makes its boxes; the file that RATCHET_BOXES names."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    namespace: str
    owner: str  # the service: only this service may connect to its boxes, and it sweeps only those
    template: str  # names of PodTemplates
    bare_template: str = ""  # without the interpreter's environment; empty: this service needs none
    api_url: str = ""  # empty: the cluster that we run in
    start_timeout_s: float = Field(180.0, gt=0)  # to be scheduled, to have the image, to listen
    warm_s: float = Field(6 * 3600.0, gt=0)  # the life of a pod that stays
    must_not_reach: tuple[str, ...] = ()  # host:port, beside the API server, that the probe tries from inside


class PodBox(Box):
    """Threads may use it side by side; each run is a pod."""

    def __init__(self, settings: BoxSettings) -> None:
        self.settings = settings
        self.api = PodApi(settings.namespace, settings.api_url)
        self._template = self.api.template(settings.template)
        self._bare = self.api.template(settings.bare_template) if settings.bare_template else None
        self._swept_at_s = -SWEEP_S
        self._sweeping = threading.Lock()

    def run(
        self,
        argv: Sequence[str],
        *,
        binds: Sequence[Bind] = (),
        limits: Limits,
        stdin: bytes = b"",
        env: Mapping[str, str] = NO_ENV,
        cwd: str = "/tmp",
        python: bool = True,
    ) -> BoxResult:
        self._sweep()
        order = _order(argv, binds, limits, env, cwd, to_a_limit=True)
        lifetime_s = self.settings.start_timeout_s + limits.wall_s + DEADLINE_GRACE_S
        most_bytes = (limits.file_mb << 20) + sum(_size(bind) for bind in binds if bind.writable)
        with self._pod(order, binds, limits, lifetime_s, python) as (name, connection), connection:
            return run_to_the_end(
                connection, binds, stdin, limits.wall_s, most_bytes, lambda: self._settle(name)
            )

    def start(
        self,
        argv: Sequence[str],
        *,
        binds: Sequence[Bind] = (),
        limits: Limits,
        env: Mapping[str, str] = NO_ENV,
        cwd: str = "/tmp",
        python: bool = True,
    ) -> BoxedProcess:
        self._sweep()
        order = _order(argv, binds, limits, env, cwd, to_a_limit=False)
        with contextlib.ExitStack() as stack:
            made = self._pod(order, binds, limits, self.settings.warm_s, python)
            name, connection = stack.enter_context(made)
            keep = stack.pop_all()
        return PodProcess(connection, lambda: self._settle(name), keep.close)

    @contextlib.contextmanager
    def timing(
        self, binds: Sequence[Bind], limits: Limits, cpus: int
    ) -> Iterator[tuple[socket.socket, Callable[[], End]]]:
        """A pod without our environment, of `cpus` cores, in which inside/kernels.py answers, and a function
        that returns why the pod ended. `limits` are the pod's, of which each program in it has a part."""
        self._sweep()
        order = _order([], binds, limits, NO_ENV, "/tmp", to_a_limit=False) | {"timing": cpus}
        made = self._pod(order, binds, limits, self.settings.warm_s, python=False, cpus=cpus)
        with made as (name, connection), connection:
            yield connection, lambda: self._settle(name)

    @contextlib.contextmanager
    def _pod(
        self,
        order: JsonObject,
        binds: Sequence[Bind],
        limits: Limits,
        lifetime_s: float,
        python: bool,
        cpus: int = 0,
    ) -> Iterator[tuple[str, socket.socket]]:
        """A pod whose runner has its order; deleted afterwards, whatever happened."""
        template = self._template if python or self._bare is None else self._bare
        interpreter = [sys.executable] if python or self._bare is None else [BARE_PYTHON]
        digest = hashlib.sha256(order["token"].encode()).hexdigest()
        patience = str(self.settings.start_timeout_s)
        command = [*interpreter, "-I", "-S", "-B", RUNNER, str(PORT), digest, patience]
        made = self.api.create(pod_of(template, command, binds, limits, lifetime_s, cpus))
        name = made["metadata"]["name"]
        try:
            deadline = time.monotonic() + self.settings.start_timeout_s
            address = self._await_address(name, deadline)
            yield name, connect((address, PORT), order, binds, deadline)
        finally:
            try:
                self.api.delete(name)
            except BoxError as error:
                _log.warning("box %s is left to be swept: %s", name, error)

    def _await_address(self, name: str, deadline: float) -> str:
        while True:
            pod = self.api.get(name)
            if pod is None:
                raise BoxError("a box's pod was deleted before it ran")
            if address := address_of(pod):
                return address
            if time.monotonic() > deadline:
                waited = f"a box's pod did not run within {self.settings.start_timeout_s:g} s"
                raise BoxError(f"{waited}: {why_not_yet(pod)}", "has a node room for it?")
            time.sleep(POLL_S)

    def _settle(self, name: str) -> End:
        """Why a pod whose connection is gone has ended. Raises BoxError if no program did that."""
        deadline = time.monotonic() + SETTLE_S
        while (end := end_of(self.api.get(name))) == "running" and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if end in ("ended", "running"):
            log = self.api.log(name).strip()[-300:]
            raise BoxError(f"the connection to a box's runner was lost; the end of its log: {log or 'empty'}")
        return end

    def _sweep(self) -> None:
        """Delete the pods of owners that died, at most every SWEEP_S; a failure never stops a run."""
        if not self._sweeping.acquire(blocking=False):
            return
        try:
            if time.monotonic() - self._swept_at_s >= SWEEP_S:
                self._swept_at_s = time.monotonic()
                self.sweep()
        except BoxError as error:
            _log.warning("orphaned boxes were not swept: %s", error)
        finally:
            self._sweeping.release()

    def sweep(self, now: datetime | None = None) -> list[str]:
        """Delete this owner's orphans; their names."""
        pods = self.api.list(f"{LABEL},ratchet/owner={self.settings.owner}")
        patience_s = 2 * self.settings.start_timeout_s
        orphans = [
            pod["metadata"]["name"] for pod in pods if _is_orphan(pod, now or datetime.now(UTC), patience_s)
        ]
        for name in orphans:
            self.api.delete(name)
        return orphans


def _is_orphan(pod: JsonObject, now: datetime, patience_s: float) -> bool:
    """Ended a while ago, never scheduled, or past its own deadline: no service waits for it any more."""
    status = pod.get("status", {})
    phase, since = status.get("phase", "Pending"), pod["metadata"]["creationTimestamp"]
    for container in status.get("containerStatuses") or []:
        since = (container.get("state", {}).get("terminated") or {}).get("finishedAt") or since
    age_s = (now - datetime.fromisoformat(since)).total_seconds()
    limits_s = {"Succeeded": SWEEP_S, "Failed": SWEEP_S, "Pending": patience_s}
    return bool(age_s > limits_s.get(phase, pod["spec"]["activeDeadlineSeconds"] + SWEEP_S))


def _order(
    argv: Sequence[str],
    binds: Sequence[Bind],
    limits: Limits,
    env: Mapping[str, str],
    cwd: str,
    *,
    to_a_limit: bool,
) -> JsonObject:
    for bind in binds:
        if not bind.source.exists():
            raise BoxError(
                f"can't ready the box: no {bind.source}", "every bound path must exist and be ours"
            )
    return {
        "token": secrets.token_hex(32),
        "argv": list(argv),
        "env": {**BASE_ENV, **env},
        "cwd": cwd,
        "limits": asdict(limits),
        "binds": [(bind.target, bind.writable) for bind in binds],
        "to_a_limit": to_a_limit,
    }


def _size(bind: Bind) -> int:
    found = bind.source.rglob("*") if bind.source.is_dir() else [bind.source]
    return sum(path.stat().st_size for path in found if path.is_file())
