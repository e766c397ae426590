"""Four stand-in services on the real events: a run that makes rollouts of SHARDS shards, joins them and ends.

`config` of the messages holds how many seconds each shard takes. Every execution leaves a line in `ran`, so
tests can tell how often code ran from how often it counted. As a program: a worker; SERVICE --stack FILE.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from shared.bus.bus import Handlers
from shared.config.settings import StackSettings
from shared.messages import events as e
from shared.messages.events import Join, Message
from shared.messages.records import BatchScores, digest_of
from shared.messages.routes import Service

SHARDS = 4
DEADLY = "0.001"  # a config with which shard 0 kills its worker


def ran(event: Message, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "ran").open("a") as file:
        file.write(f"{event.run_id} {type(event).__name__}\n")


def reply(event: Any, kind: type[Message], **fields: Any) -> Message:
    return kind(run_id=event.run_id, generation=event.generation, **{"join": event.join} | fields)


def on_run_started(event: e.RunStarted, folder: Path) -> list[Message]:
    ran(event, folder)
    return [reply(event, e.BaseRequested, config=event.config)]


def on_base_requested(event: e.BaseRequested, folder: Path) -> list[Message]:
    ran(event, folder)
    return [reply(event, e.BaseReady, base=f"endpoint:{event.config}")]


def on_base_ready(event: e.BaseReady, folder: Path) -> list[Message]:
    ran(event, folder)
    config = event.base.partition(":")[2]
    fields: dict[str, Any] = {"config": config, "purpose": "train", "instances": "i", "releases": ()}
    return [reply(event, e.RolloutsOpened, **fields, seeds=())]


def on_rollouts_opened(event: e.RolloutsOpened, folder: Path) -> list[Message]:
    ran(event, folder)
    joins = [Join(id=event.digest, slot=str(slot), expected=SHARDS) for slot in range(SHARDS)]
    return [
        reply(event, e.ShardOpened, config=event.config, purpose="train", plan="p", join=j) for j in joins
    ]


def on_shard_opened(event: e.ShardOpened, folder: Path) -> list[Message]:
    ran(event, folder)
    if event.config == DEADLY and event.join and event.join.slot == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(event.config))
    fields: dict[str, Any] = {"config": event.config, "purpose": "train", "check": "final", "turn": 0}
    return [reply(event, e.CandidatesProposed, **fields, state="s", batch="b")]


def on_candidates_proposed(event: e.CandidatesProposed, folder: Path) -> list[Message]:
    ran(event, folder)
    time.sleep(float(event.config))
    scores = digest_of(BatchScores(blocks=()).model_dump())
    fields: dict[str, Any] = {"config": event.config, "purpose": "train", "check": "final", "turn": 0}
    return [reply(event, e.CandidatesScored, **fields, state="s", batch="b", scores=scores)]


def on_candidates_scored(event: e.CandidatesScored, folder: Path) -> list[Message]:
    ran(event, folder)
    return [reply(event, e.ShardFinished, purpose="train", result="r")]


def on_rollouts_joined(event: e.RolloutsJoined, folder: Path) -> list[Message]:
    ran(event, folder)
    slots = ",".join(arrival.join.slot for arrival in event.arrivals if arrival.join)
    return [reply(event, e.RunFinished, state="done", why=f"slots {slots}")]


def on_job_died(event: e.JobDied, folder: Path) -> list[Message]:
    return [reply(event, e.RunFinished, state="failed", why=event.reason)]


HANDLED: dict[type[Message], Callable[..., list[Message]]] = {
    e.RunStarted: on_run_started,
    e.BaseRequested: on_base_requested,
    e.BaseReady: on_base_ready,
    e.RolloutsOpened: on_rollouts_opened,
    e.ShardOpened: on_shard_opened,
    e.CandidatesProposed: on_candidates_proposed,
    e.CandidatesScored: on_candidates_scored,
    e.RolloutsJoined: on_rollouts_joined,
    e.JobDied: on_job_died,
}


def handlers(folder: Path) -> Handlers:
    """All services' handlers; `folder` takes the file `ran`."""
    return {kind: partial(handler, folder=folder) for kind, handler in HANDLED.items()}


def build(stack: StackSettings) -> Handlers:
    return handlers(stack.cache_dir)


if __name__ == "__main__":
    from shared.bus.celery_app import run_worker

    run_worker(cast(Service, sys.argv.pop(1)), build)
