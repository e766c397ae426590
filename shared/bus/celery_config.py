"""The Celery configuration of every worker and publisher, and the checks that refuse another. Imports no
Celery.

A message is a job id (a doorbell): losing or repeating one is harmless. So the settings see to it that
nothing blocks for ever, that messages do not pile up, and that a worker reserves one job at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.config.secrets import broker_url
from shared.config.settings import StackSettings
from shared.errors import SettingsError
from shared.messages.routes import HANDLED_BY, SERVICES

VISIBILITY_S = 1800  # at least; equal in every app of a stack, since the shortest one on a broker applies
RESTORE_S = 10  # how often Celery looks for messages of dead consumers
SOFT_SHUTDOWN_S = 25
LONG_HARD_LIMIT_S = 15_000  # trainer: acknowledges at the start, so it may exceed the visibility timeout
TASK_NAMES = {  # an event's tag: the name of its Celery task
    kind.model_fields["type"].default: f"{service}.{kind.__name__}" for kind, service in HANDLED_BY.items()
}


def celery_config(stack: StackSettings, service: str | None) -> dict[str, Any]:
    """Settings for a service's worker; None: for a program that only publishes."""
    broker = broker_url(stack)
    processes = {str(name): count for name, count in stack.workers.items()}
    hard_s = LONG_HARD_LIMIT_S if service == "trainer" else int(stack.job_limit_s)
    return {
        "broker_url": broker,
        "broker_read_url": broker,
        "broker_write_url": broker,
        "result_backend": None,  # no chords, groups or chains: the ledger's joins do that
        "task_ignore_result": True,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_acks_late": service != "trainer",
        "task_reject_on_worker_lost": False,  # True would retry for ever a job that kills its worker
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        "worker_pool": "prefork",  # the only pool with time limits
        "worker_concurrency": processes.get(service or "", 1),
        "worker_prefetch_multiplier": 1,
        "task_time_limit": hard_s,
        "task_soft_time_limit": hard_s - 60,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_max_tasks_per_child": 200,
        "worker_max_memory_per_child": 4_000_000,  # KiB
        "worker_eta_task_limit": 100,
        "worker_lost_wait": 1,  # no result comes from a killed child; the default is 10
        "worker_soft_shutdown_timeout": SOFT_SHUTDOWN_S,
        "worker_enable_soft_shutdown_on_idle": True,
        "worker_hijack_root_logger": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_acquire_timeout": 30,
        "task_publish_retry_policy": {
            "max_retries": 3,
            "interval_start": 0,
            "interval_step": 0.5,
            "interval_max": 2,
        },
        "broker_transport_options": {
            "visibility_timeout": max(VISIBILITY_S, 2 * int(stack.job_limit_s)),
            "unacked_restore_interval": RESTORE_S,
            "unacked_restore_throttle": 1,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "global_keyprefix": stack.queue_prefix,
        },
        "task_queues": {name: {"exchange": name, "routing_key": name} for name in SERVICES},
        "task_create_missing_queues": False,
        "worker_send_task_events": False,  # Flower asks for them while it runs; they cost as much as the job
        "task_send_sent_event": False,
        "task_track_started": True,
    }


def refuse_drift(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raises SettingsError that names the keys of the running app that differ from the configuration, or
    where a job may outlast the visibility timeout of a message that is acknowledged late (it would run twice
    at once)."""
    differing = [key for key, value in expected.items() if actual[key] != value]
    if differing:
        raise SettingsError(
            f"Celery's configuration has drifted: {', '.join(differing)}",
            "unset CELERY_ variables, and remove other Celery config modules",
        )
    visible_s = actual["broker_transport_options"]["visibility_timeout"]
    needed_s = actual["task_time_limit"] + 2 * RESTORE_S + actual["worker_soft_shutdown_timeout"]
    if actual["task_acks_late"] and needed_s >= visible_s:
        raise SettingsError(
            f"a job may take {needed_s} s, and its message is redelivered after {visible_s} s",
            "lower the time limit",
        )


def refuse_eviction(policy: str) -> None:
    """Raises SettingsError if the broker may evict a queue when its memory is full: it does so without an
    error."""
    if policy != "noeviction":
        raise SettingsError(
            f"the broker's maxmemory-policy is {policy!r}: it may evict whole queues without an error",
            "CONFIG SET maxmemory-policy noeviction, and keep caches in another instance",
        )
