"""Celery as the doorbell: the only file that imports it. What Celery calls a task is one event's doorbell,
`<service>.<EventClass>(job_id)`; all else about the job stands in the ledger.

The parent of every worker reconciles and imports nothing heavy; handlers are built in its child.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import redis
from celery import Celery, signals
from celery.exceptions import Retry
from kombu.exceptions import OperationalError
from pydantic import ValidationError

from shared import children, logs
from shared.bus.bus import Bus, Handlers
from shared.bus.celery_config import TASK_NAMES, celery_config, refuse_drift
from shared.bus.start_checks import wait_for_parts
from shared.config.secrets import open_ledger
from shared.config.settings import StackSettings
from shared.errors import LedgerError, RatchetError, SettingsError
from shared.ledger.ledger import Ring
from shared.messages.routes import Service

RECONCILER = "reconciler"
PING_S = 1.0
_log = logging.getLogger(__name__)


class JobFailedError(Exception):
    """What Celery hears of a job that failed: alone if it was given up, in a Retry if it is tried again."""


def make_app(stack: StackSettings, service: Service | None = None) -> Celery:
    """The app of a service's worker, or (None) one that only rings. Raises SettingsError on drift."""
    app = Celery(service or "ratchet", set_as_current=False)
    expected = celery_config(stack, service)
    app.conf.update(expected)
    actual = {key: getattr(app.conf, key) for key in expected}  # attributes: they obey CELERY_ variables
    refuse_drift(actual, expected)
    return app


def ring(app: Celery, rings: Sequence[Ring]) -> None:
    """Publish doorbells. A failed ring is no error: the reconciler rings again."""
    for job_id, service, kind in rings:
        try:
            app.send_task(TASK_NAMES[kind], args=[job_id], queue=service, ignore_result=True)
        except (OperationalError, redis.RedisError, OSError) as error:
            _log.warning("%d doorbells not rung, the reconciler will: %s", len(rings), error)
            return


def services_online(app: Celery) -> set[str]:
    """The services with a worker that answers over the broker within a second."""
    replies = app.control.ping(timeout=PING_S) or []
    return {name.partition("-")[0] for reply in replies for name in reply}


def run_worker(service: Service, build: Callable[[StackSettings], Handlers]) -> None:
    """The main of every worker: `python -m X_service.worker --stack stack.json`. Ends with its exit code."""
    parser = argparse.ArgumentParser(description=f"The {service} service's worker.")
    parser.add_argument("--stack", type=Path, required=True, help="StackSettings as JSON")
    path: Path = parser.parse_args().stack
    logs.set_up(service)
    try:
        code = _serve(service, build, read_stack(path))
    except RatchetError as error:
        _log.error("%s", error)
        code = error.exit_code
    sys.exit(code)


def read_stack(path: Path) -> StackSettings:
    """Raises SettingsError where the file is missing or is none."""
    try:
        return StackSettings.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise SettingsError(f"{path} is no stack file: {error}", "the supervisor writes it") from None


def _serve(service: Service, build: Callable[[StackSettings], Handlers], stack: StackSettings) -> int:
    wait_for_parts(stack)
    app = make_app(stack, service)
    _hear(app, service, stack, build)
    signals.setup_logging.connect(_keep_our_logging)
    alive = functools.partial(_say_alive, stack.cache_dir / f"alive-{service}")
    signals.heartbeat_sent.connect(alive, weak=False)
    signals.worker_process_init.connect(functools.partial(_enter_child, os.getpid()), weak=False)
    threading.Thread(target=_reconcile, args=(app, stack), name=RECONCILER, daemon=True).start()
    worker = app.Worker(
        hostname=f"{service}-{os.getpid()}@{socket.gethostname()}",
        queues=[service],
        loglevel=logging.INFO,
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _hear(
    app: Celery, service: Service, stack: StackSettings, build: Callable[[StackSettings], Handlers]
) -> None:
    """Register a doorbell for each event that the service hears."""

    @functools.cache
    def bus() -> Bus:  # first called in the pool's child
        return Bus(
            open_ledger(stack), lambda: build(stack), functools.partial(ring, app), children.owner_name()
        )

    def doorbell(job_id: str) -> None:
        bus().process(job_id)
        if failure := bus().failure:  # the ledger has it, and sees to what follows: this is for Flower alone
            error = JobFailedError(failure.reason)
            raise error if failure.retry_s is None else Retry(exc=error, when=failure.retry_s)

    for name in TASK_NAMES.values():
        if name.startswith(f"{service}."):
            app.task(name=name, throws=(JobFailedError,))(doorbell)


def _reconcile(app: Celery, stack: StackSettings) -> None:
    """Ring for what should have been taken long ago. All parents try; the ledger elects one a stack."""
    ledger, owner, pause = open_ledger(stack), children.owner_name(), threading.Event()
    while not pause.wait(stack.reconcile_s):
        try:
            if ledger.elect(f"{RECONCILER} {stack.queue_prefix}", owner, 3 * stack.reconcile_s):
                late = ledger.overdue(children.is_gone, stack.queue_prefix)
                if late:
                    _log.info("ringing again for %d jobs", len(late))
                    with children.no_fork():  # a child must not inherit the connection pool's locks
                        ring(app, late)
        except LedgerError as error:
            _log.warning("not reconciled this time: %s", error)


def _keep_our_logging(**_: object) -> None:
    """A receiver of this signal is all it takes to keep Celery from setting up its own."""


def _say_alive(file: Path, **_: object) -> None:
    """For a cluster's probes: the event loop turns, and the broker answers (else no heartbeat is sent)."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def _enter_child(parent: int, **_: object) -> None:
    children.die_with_parent()
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
