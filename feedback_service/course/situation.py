"""A run at the moment of a decision: its history, config, task and store, read once per event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shared.config.settings import AdvisorSection, RunConfig
from shared.decisions import seeds
from shared.decisions.pool import fresh, gate_order, sealed_instances, uses
from shared.decisions.posted import mixed, posted_instances, trained_on
from shared.ledger.history.folding import apply, fold
from shared.ledger.history.state import EventLog, Rollout, RunHistory
from shared.ledger.spending import Counter
from shared.messages.events import Message, RolloutsOpened
from shared.messages.records import ArmRelease, JsonObject, Purpose, Release, ShardState, digest_of
from shared.model.client import Chat
from shared.store.shards import get_shard
from shared.store.store import Store, get_json, get_record, materialize, put_bundle, put_json
from shared.tasks.draws import DRAW_TIMEOUT_S, draw
from shared.tasks.task import Task, load_task, task_of, texts_of, with_limits

DRAW, TASK = "draw", "task"  # kinds of bindings in the store


@dataclass(frozen=True)
class Deps:
    ledger: EventLog
    store: Store
    advisor_of: Callable[[AdvisorSection], Chat]
    counter_of: Callable[[str], Counter | None] = lambda run_id: None  # of a run's tokens and money
    unpacked: Path | None = None  # where the task is read from as it was kept; None: its own folder


@dataclass(frozen=True)
class Situation:
    history: RunHistory
    config: RunConfig
    task: Task
    store: Store
    advisor_of: Callable[[AdvisorSection], Chat]
    counter: Counter | None = None  # of its tokens and money; None: nothing is asked

    @property
    def run_id(self) -> str:
        return self.history.run_id

    def after(self, event: Message) -> Situation:
        """This situation after one more event, which is about to be emitted."""
        apply(self.history, event, self.history.last_at)
        return self

    def states(self, rollout: Rollout) -> list[ShardState]:
        return [get_shard(self.store, digest) for digest in rollout.results]

    def instances(self, rollout: Rollout) -> list[JsonObject]:
        listed: list[JsonObject] = get_json(self.store, rollout.opened.instances)
        return listed


def read_situation(event: Message, deps: Deps) -> Situation:
    """The situation in which an event is handled; the event itself is in the log already."""
    history = fold(deps.ledger.events(event.run_id))
    config = get_record(deps.store, history.config, RunConfig)
    return Situation(
        history=history,
        config=config,
        task=_task(event.run_id, config, deps),
        store=deps.store,
        advisor_of=deps.advisor_of,
        counter=deps.counter_of(event.run_id),
    )


def _task(run_id: str, config: RunConfig, deps: Deps) -> Task:
    """The run's task. What decisions rest on is kept with the run: its texts, as they were at the start."""
    kept = deps.store.lookup(TASK, run_id)
    if kept is None:
        kept = deps.store.bind(TASK, run_id, put_bundle(deps.store, texts_of(load_task(config.run.task))))
    if deps.unpacked is None:
        return task_of(config)
    return with_limits(load_task(str(materialize(deps.store, kept, deps.unpacked))), config.attempt)


def open_rollouts(
    now: Situation, number: int, purpose: Purpose, releases: dict[str, Release], count: int, round_: int = 0
) -> list[Message]:
    """A rollout on fresh instances of the purpose's split; nothing where the split has none left."""
    drawn = 0 if purpose == "test" else round_  # a run that ends anew is tested on the same instances
    if purpose in ("screen", "confirm"):
        order = gate_order(now.run_id, now.config, now.task, now.store)
        instances = fresh(order, uses(now.history, now.store), count)
    elif purpose == "test":
        instances = sealed_instances(now.config, now.task, partial(_drawn, now))
    else:
        draw_seed = seeds.instance_seed(now.config, number, purpose, drawn)
        instances = _drawn(now, "train", count, draw_seed, DRAW_TIMEOUT_S)
        if posted := posted_instances(now.history, now.store):
            instances = mixed(instances, posted, trained_on(now.history, now.store), count)
    attempts = (
        now.config.rollouts.attempts if purpose == "train" else 1
    )  # gate and test buy instances, not repeats
    attempt_seeds = seeds.attempt_seeds(now.config, number, purpose, drawn, attempts)
    return [open_on(now, number, purpose, releases, instances, attempt_seeds, round_)] if instances else []


def _drawn(now: Situation, split: str, count: int, seed: int, timeout_s: float) -> list[JsonObject]:
    """A draw as it was first made: what a decision rests on is in the store, also where the task's folder
    changes."""
    key = digest_of([now.run_id, split, count, seed])
    kept = now.store.lookup(DRAW, key)
    if kept is None:
        kept = now.store.bind(DRAW, key, put_json(now.store, draw(now.task, split, count, seed, timeout_s)))
    instances: list[JsonObject] = get_json(now.store, kept)
    return instances


def open_on(
    now: Situation,
    number: int,
    purpose: Purpose,
    releases: dict[str, Release],
    instances: Sequence[JsonObject],
    attempt_seeds: tuple[int, ...],
    round_: int,
) -> Message:
    """A rollout on given instances."""
    return RolloutsOpened(
        run_id=now.run_id,
        generation=number,
        config=now.history.config,
        purpose=purpose,
        round=round_,
        releases=tuple(ArmRelease(arm=arm, release=release) for arm, release in releases.items()),
        instances=put_json(now.store, list(instances)),
        seeds=attempt_seeds,
    )
