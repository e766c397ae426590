"""The agent's event handlers: cut rollouts into shards, run a shard until it needs scores, continue with the
scores, warm a promoted release. A shard's memory is in the store, so any worker can continue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent_service import traced
from agent_service.adapters import Adapters
from agent_service.archive import fold, pick
from agent_service.reload import find_reload
from agent_service.rollout import Stage, advance
from agent_service.shards import attach, gather, pending_check, plan_shards
from shared.bus.bus import Handler
from shared.config.settings import LAST_S, ModelSection, RunConfig
from shared.decisions.endings import count_endings
from shared.errors import AdaptersUnsupportedError, ArtifactError, BudgetSpentError, TaskError
from shared.harness.bundle import Harness, load_harness
from shared.harness.steps import ScaffoldPool
from shared.ledger.history.folding import fold as fold_history
from shared.ledger.history.state import EventLog
from shared.ledger.spending import Counter
from shared.messages.events import (
    CandidatesProposed,
    CandidatesScored,
    Join,
    Message,
    ReleasePromoted,
    RolloutsOpened,
    ShardFinished,
    ShardOpened,
)
from shared.messages.records import (
    BatchScores,
    CandidateBatch,
    JsonObject,
    Parent,
    Release,
    ShardPlan,
    ShardState,
)
from shared.model.spending import Spending
from shared.store.shards import begun, get_shard, put_shard
from shared.store.store import Store, get_bundle, get_json, get_record, materialize, put_json
from shared.store.trust import Trust, trust_of
from shared.tasks.task import Task, with_limits

Shard = ShardOpened | CandidatesScored


@dataclass(frozen=True)
class Deps:
    store: Store
    ledger: EventLog
    load_task: Callable[[str], Task]
    adapters_of: Callable[[ModelSection, str], Adapters]  # of a base on its endpoint
    pool: ScaffoldPool
    cache: Path
    job_limit_s: float = 900.0
    counter_of: Callable[[str], Counter | None] = lambda run_id: None  # of a run's tokens and money


def handlers(deps: Deps) -> dict[type[Message], Handler]:
    return {
        RolloutsOpened: lambda event: on_rollouts_opened(event, deps=deps),
        ShardOpened: lambda event: on_shard_opened(event, deps=deps),
        CandidatesScored: lambda event: on_candidates_scored(event, deps=deps),
        ReleasePromoted: lambda event: on_release_promoted(event, deps=deps),
    }


def on_rollouts_opened(event: RolloutsOpened, *, deps: Deps) -> list[Message]:
    """One ShardOpened a shard; all end in one join."""
    config = get_record(deps.store, event.config, RunConfig)
    instances: list[JsonObject] = get_json(deps.store, event.instances)
    if not instances or not event.releases or not event.seeds:
        raise TaskError(f"nothing to attempt in {event.purpose}: no instance, release or seed")
    parents = _parents(event, len(instances), config, deps) if event.purpose == "train" else []
    if event.purpose in ("screen", "confirm"):
        _require_base(event, config, deps)
    nulls = _null_arms(event, config, deps) if event.purpose == "screen" else {}
    living = [contender for contender in event.releases if contender.arm not in nulls]
    event = event.model_copy(update={"releases": tuple(living)})
    planned = plan_shards(event, instances, config.rollouts.shard, parents)
    shards = [shard.model_copy(update={"null_arms": nulls}) for shard in planned]
    join_id = f"{event.run_id}-g{event.generation}-{event.purpose}-{event.round}-{event.digest[:12]}"
    return [
        ShardOpened(
            run_id=event.run_id,
            generation=event.generation,
            join=Join(id=join_id, slot=f"{index:04d}", expected=len(shards)),
            config=event.config,
            purpose=event.purpose,
            round=event.round,
            plan=put_json(deps.store, shard),
        )
        for index, shard in enumerate(shards)
    ]


def _require_base(event: RolloutsOpened, config: RunConfig, deps: Deps) -> None:
    """Raises where the endpoint does not serve base's adapter correctly: nothing can be compared with it, and
    base's lost pairs would count as the other arm's gain."""
    for contender in event.releases:
        if contender.arm == "base" and contender.release.adapter is not None:
            adapters = deps.adapters_of(config.model, contender.release.base)
            adapters.ensure([contender.release], _trust(event.run_id, deps))


def _null_arms(event: RolloutsOpened, config: RunConfig, deps: Deps) -> dict[str, str]:
    """Why an arm can't be measured, for each whose adapter the endpoint does not serve correctly. The
    other arms are measured all the same."""
    reasons = {}
    trust = _trust(event.run_id, deps)
    for contender in event.releases:
        if contender.release.adapter is not None:
            try:
                deps.adapters_of(config.model, contender.release.base).ensure([contender.release], trust)
            except (ArtifactError, AdaptersUnsupportedError) as error:
                reasons[contender.arm] = str(error)
    return reasons


def _parents(event: RolloutsOpened, instance_count: int, config: RunConfig, deps: Deps) -> list[Parent]:
    """For half of the train instances, what the archive offers their attempts to start from."""
    low = deps.load_task(config.run.task).manifest.score.low
    past = (logged.event for logged in deps.ledger.events(event.run_id))
    earlier = (message for message in past if message.generation < event.generation)
    return pick(fold(earlier, deps.store, low), instance_count // 2)


def on_shard_opened(event: ShardOpened, *, deps: Deps) -> list[Message]:
    """Run the shard up to its first evaluation."""
    plan = get_record(deps.store, event.plan, ShardPlan)
    earlier = state = begun(plan)
    reload = find_reload(deps.ledger.events(event.run_id), _releases(state))
    times, started_ns = {}, time.time_ns()
    with _set_stage(event, state, deps) as (stage, adapters):
        if reload and "adapter_ms" in reload.missing:
            adapters.verify(reload.release)
            times["adapter_ms"] = reload.now_ms()
        try:
            state = advance(state, stage)
        except BudgetSpentError as error:
            return [_lost(event, state, stage, error)]
        if reload and "harness_ms" in reload.missing:
            times["harness_ms"] = reload.since_ms(stage.first_step_at[reload.release.harness])
        traced.attempts(event, state, stage.task.name, started_ns)
    state = state.model_copy(update={"reload": times})
    return _next(event, put_shard(deps.store, event.plan, earlier, state), state, 0, deps)


def on_candidates_scored(event: CandidatesScored, *, deps: Deps) -> list[Message]:
    """Give the attempts their scores and continue."""
    earlier = get_shard(deps.store, event.state)
    batch = get_record(deps.store, event.batch, CandidateBatch)
    state = attach(earlier, batch, get_record(deps.store, event.scores, BatchScores))
    state = state.model_copy(update={"cost": state.cost + event.cost})
    if event.check == "public":
        with _set_stage(event, state, deps) as (stage, _):
            try:
                state = advance(state, stage)
            except BudgetSpentError as error:
                return [_lost(event, state, stage, error)]
    digest = put_shard(deps.store, event.state, earlier, state)
    return _next(event, digest, state, event.turn + 1, deps)


def on_release_promoted(event: ReleasePromoted, *, deps: Deps) -> list[Message]:
    """Warm the caches. A worker that handles this late, or not at all, loads on first use."""
    _open_harness(event.release.harness, deps)
    for logged in deps.ledger.events(event.run_id):
        if isinstance(logged.event, RolloutsOpened):
            config = get_record(deps.store, logged.event.config, RunConfig)
            deps.adapters_of(config.model, event.release.base).ensure(
                [event.release], _trust(event.run_id, deps)
            )
            break
    return []


def _next(event: Shard, digest: str, state: ShardState, turn: int, deps: Deps) -> list[Message]:
    """What the shard needs now: scores, or nothing more. `digest`: of its state."""
    about = {"run_id": event.run_id, "generation": event.generation, "join": event.join}
    about |= {"purpose": event.purpose, "round": event.round}
    check = pending_check(state)
    if check is None:
        endings = count_endings(state.attempts)
        return [ShardFinished(**about, result=digest, cost=state.cost, reload=state.reload, endings=endings)]
    config = get_record(deps.store, event.config, RunConfig)
    batch = put_json(deps.store, gather(state, check, event.purpose, config))
    about |= {"config": event.config, "check": check, "turn": turn}
    return [CandidatesProposed(**about, state=digest, batch=batch)]


def _lost(event: Shard, state: ShardState, stage: Stage, error: BudgetSpentError) -> ShardFinished:
    """The shard ends unscored where a cap leaves no room for its next request; what it cost is counted."""
    about = {"run_id": event.run_id, "generation": event.generation, "join": event.join}
    about |= {"purpose": event.purpose, "round": event.round}
    return ShardFinished(**about, result=None, reason=str(error), cost=state.cost + stage.asking.cost)


@contextmanager
def _set_stage(event: Shard, state: ShardState, deps: Deps) -> Iterator[tuple[Stage, Adapters]]:
    """Make ready what the shard's releases need, whatever this worker had before."""
    config = get_record(deps.store, event.config, RunConfig)
    releases = _releases(state)
    adapters = deps.adapters_of(config.model, state.attempts[0].plan.release.base)
    spending = _spending(event.run_id, config, deps)
    until_s = time.monotonic() + deps.job_limit_s - LAST_S - config.model.timeout_s
    served = adapters.ensure(releases, _trust(event.run_id, deps))
    with adapters.chat.asking(event.digest, spending, until_s) as asking:
        yield (
            Stage(
                run_id=event.run_id,
                generation=event.generation,
                task=with_limits(deps.load_task(config.run.task), config.attempt),
                pool=deps.pool,
                harnesses={
                    one: _open_harness(one, deps) for one in {release.harness for release in releases}
                },
                served=served,
                asking=asking,
                store=deps.store,
                reload=lambda lost: adapters.reload(releases, lost),
            ),
            adapters,
        )


def _trust(run_id: str, deps: Deps) -> Trust:
    return trust_of(run_id, (logged.event for logged in deps.ledger.events(run_id)))


def _spending(run_id: str, config: RunConfig, deps: Deps) -> Spending | None:
    """The run's caps on tokens and money, if it has any, on the counter of all that ask for it."""
    if not (config.budget.usd or config.budget.tokens):
        return None
    spent = fold_history(deps.ledger.events(run_id)).cost
    return Spending(config.budget, spent, deps.counter_of(run_id))


def _releases(state: ShardState) -> list[Release]:
    """Those that still have something to do, each once."""
    open_attempts = [attempt for attempt in state.attempts if attempt.final is None]
    return list({attempt.plan.release.digest: attempt.plan.release for attempt in open_attempts}.values())


def _open_harness(digest: str, deps: Deps) -> tuple[Path, Harness]:
    return materialize(deps.store, digest, deps.cache / "harnesses"), load_harness(
        get_bundle(deps.store, digest)
    )
