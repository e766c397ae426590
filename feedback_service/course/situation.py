"""A run at the moment of a decision: its history, config, task and store, read once per event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.config.settings import AdvisorSection, RunConfig
from shared.decisions import seeds
from shared.decisions.pool import fresh, gate_order, uses
from shared.ledger.history import EventLog, Rollout, RunHistory, apply, fold
from shared.messages.events import Message, RolloutsOpened
from shared.messages.records import ArmRelease, JsonObject, Purpose, Release, ShardState
from shared.model.client import Chat
from shared.store.shards import get_shard
from shared.store.store import Store, get_json, get_record, put_json
from shared.tasks.draws import draw
from shared.tasks.task import Task, task_of


@dataclass(frozen=True)
class Deps:
    ledger: EventLog
    store: Store
    advisor_of: Callable[[AdvisorSection], Chat]


@dataclass(frozen=True)
class Situation:
    history: RunHistory
    config: RunConfig
    task: Task
    store: Store
    stop: bool  # the user asked the run to end
    advisor_of: Callable[[AdvisorSection], Chat]

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
        task=task_of(config),
        store=deps.store,
        stop=deps.ledger.stop_requested(event.run_id),
        advisor_of=deps.advisor_of,
    )


def open_rollouts(
    now: Situation, number: int, purpose: Purpose, releases: dict[str, Release], count: int, round_: int = 0
) -> list[Message]:
    """A rollout on fresh instances of the purpose's split; nothing where the split has none left."""
    if purpose in ("screen", "confirm"):
        order = gate_order(now.run_id, now.config, now.task, now.store)
        instances = fresh(order, uses(now.history, now.store), count)
    else:
        split = "test" if purpose == "test" else "train"
        instances = draw(now.task, split, count, seeds.instance_seed(now.config, number, purpose, round_))
    attempts = (
        now.config.rollouts.attempts if purpose == "train" else 1
    )  # gate and test buy instances, not repeats
    attempt_seeds = seeds.attempt_seeds(now.config, number, purpose, round_, attempts)
    return [open_on(now, number, purpose, releases, instances, attempt_seeds, round_)] if instances else []


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
