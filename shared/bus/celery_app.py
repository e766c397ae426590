"""The queue: Celery workers, and publishing to them. Celery's task `<service>.<EventClass>(job_id)` only
wakes a worker for a job of the ledger (a doorbell); everything else about the job stands there.

A worker's parent process runs the reconciler and imports nothing heavy; handlers are built in its child.
No other file imports Celery.
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
from celery import Celery, Task, signals
from celery.exceptions import Retry
from kombu.exceptions import OperationalError
from pydantic import ValidationError

from shared import children, logs, tracing
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
    """A failed job, as Celery and Flower see it: raised itself if the job is dead, in a Retry if it is
    retried."""


def make_app(stack: StackSettings, service: Service | None = None) -> Celery:
    """The app of a service's worker; None: of a program that only publishes. Raises SettingsError on
    drift."""
    app = Celery(service or "ratchet", set_as_current=False)
    expected = celery_config(stack, service)
    app.conf.update(expected)
    actual = {key: getattr(app.conf, key) for key in expected}  # attributes: they obey CELERY_ variables
    refuse_drift(actual, expected)
    return app


def ring(app: Celery, rings: Sequence[Ring]) -> None:
    """Publish doorbells. Failing to is no error: the reconciler publishes them again."""
    carried = tracing.headers()
    for job_id, service, kind in rings:
        try:
            app.send_task(TASK_NAMES[kind], args=[job_id], queue=service, ignore_result=True, headers=carried)
        except (OperationalError, redis.RedisError, OSError) as error:
            _log.warning("%d doorbells not published, the reconciler will: %s", len(rings), error)
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
        stack = read_stack(path)
        logs.set_up(service, stack.log_format)
        code = _serve(service, build, stack)
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
    _register_tasks(app, service, stack, build)
    signals.setup_logging.connect(_keep_our_logging)
    alive = functools.partial(_touch_liveness_file, stack.cache_dir / f"alive-{service}")
    signals.heartbeat_sent.connect(alive, weak=False)
    signals.worker_process_init.connect(functools.partial(_enter_child, os.getpid()), weak=False)
    signals.worker_process_shutdown.connect(_end_child, weak=False)
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


def _register_tasks(
    app: Celery, service: Service, stack: StackSettings, build: Callable[[StackSettings], Handlers]
) -> None:
    """One Celery task for each event that the service handles."""

    @functools.cache
    def bus() -> Bus:  # first called in a child of the pool
        tracing.set_up(service, stack.traces_url)
        ledger = open_ledger(stack)
        ledger.database.keep_open()
        return Bus(ledger, lambda: build(stack), functools.partial(ring, app), children.owner_name())

    def doorbell(task: Task, job_id: str) -> None:
        bus().process(job_id, task.request.headers)
        if failure := bus().failure:  # for Flower alone: the ledger has it, and schedules the retry
            error = JobFailedError(failure.reason)
            raise error if failure.retry_s is None else Retry(exc=error, when=failure.retry_s)

    for name in TASK_NAMES.values():
        if name.startswith(f"{service}."):
            app.task(name=name, bind=True, throws=(JobFailedError,))(doorbell)


def _reconcile(app: Celery, stack: StackSettings) -> None:
    """Publish doorbells again for jobs that no worker claimed in time. All parents try; the ledger elects
    one."""
    ledger, owner, pause = open_ledger(stack), children.owner_name(), threading.Event()
    while not pause.wait(stack.reconcile_s):
        try:
            if ledger.elect(f"{RECONCILER} {stack.queue_prefix}", owner, 3 * stack.reconcile_s):
                late = ledger.overdue(children.is_gone, stack.queue_prefix)
                if late:
                    _log.info("publishing %d doorbells again", len(late))
                    with children.no_fork():  # a child must not inherit the connection pool's locks
                        ring(app, late)
        except LedgerError as error:
            _log.warning("not reconciled this time: %s", error)


def _keep_our_logging(**_: object) -> None:
    """Celery sets up no logging of its own while this signal has a receiver."""


def _touch_liveness_file(file: Path, **_: object) -> None:
    """For a cluster's liveness probes: Celery sends no heartbeat unless its loop runs and the broker
    answers."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def _enter_child(parent: int, **_: object) -> None:
    children.die_with_parent()
    if os.getppid() != parent:  # the parent died before the line above
        os._exit(1)


def _end_child(**_: object) -> None:
    tracing.flush()
