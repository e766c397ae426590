"""From joined train rollouts to both proposals. A lever with nothing to propose answers its join itself."""

from __future__ import annotations

from contextlib import closing

from feedback_service.course.budget import training_over_budget
from feedback_service.course.situation import Situation
from feedback_service.propose import demonstrating
from feedback_service.propose.advisor import Advice, Question, advise
from feedback_service.propose.analyst import propose_patch, propose_update
from feedback_service.propose.diagnosis import Diagnosis, diagnose
from feedback_service.propose.memory import remember
from shared.decisions import seeds
from shared.decisions.convergence import convergence
from shared.decisions.levers import Lever, levers_in_use
from shared.ledger.history import Generation, Rollout
from shared.messages.events import (
    DemonstrationsReady,
    HarnessProposed,
    HarnessRefused,
    Join,
    Message,
    WeightUpdateFailed,
    WeightUpdateProposed,
)
from shared.messages.records import Release, digest_of
from shared.store.store import get_bundle, put_json

SMOKE_TRACES = 2  # shards that a patched scaffold must be able to replay


def propose(now: Situation, generation: Generation, rollout: Rollout) -> list[Message]:
    diagnosis = diagnose(now.states(rollout), now.task.manifest.score, len(rollout.losses))
    advice = _advice(now, generation, diagnosis) if rollout.results else Advice()
    answers = {"harness": _harness, "weights": _weights}
    return [
        answers[lever](now, generation, rollout, diagnosis, advice) for lever in levers_in_use(now.config)
    ]


def _advice(now: Situation, generation: Generation, diagnosis: Diagnosis) -> Advice:
    """The advisor's proposal, where there is an advisor and a lever to advise on."""
    section = now.config.advisor
    if not section.url or "harness" not in levers_in_use(now.config):
        return Advice()
    base = _live(generation).harness
    question = Question(
        task=now.task.manifest,
        base=base,
        files=get_bundle(now.store, base),
        diagnosis=diagnosis,
        memory=remember(now.history, now.store),
        seed=seeds.patch_seed(now.config, generation.number),
    )
    with closing(now.advisor_of(section)) as chat:
        return advise(chat, section, question)


def _harness(
    now: Situation, generation: Generation, rollout: Rollout, diagnosis: Diagnosis, advice: Advice
) -> Message:
    release, join = _live(generation), _join(now, generation, "harness")
    where = {"run_id": now.run_id, "generation": generation.number, "join": join}
    if not rollout.results:
        return HarnessRefused(**where, reason=_nothing(rollout))
    patch = advice.patch or propose_patch(
        release.harness,
        get_bundle(now.store, release.harness),
        diagnosis,
        remember(now.history, now.store),
        seeds.patch_seed(now.config, generation.number),
        convergence(now.history, now.config.convergence).state,
    )
    without = f" ({advice.why})" if advice.why and advice.patch is None else ""
    if patch is None:
        reason = f"the analyst has no new edit to propose for this harness{without}"
        return HarnessRefused(**where, reason=reason, cost=advice.cost)
    return HarnessProposed(
        **where,
        config=now.history.config,
        patch=put_json(now.store, patch),
        smoke=tuple(rollout.results[:SMOKE_TRACES]),
        reason=patch.reason + without,
        cost=advice.cost,
    )


def _weights(
    now: Situation, generation: Generation, rollout: Rollout, diagnosis: Diagnosis, advice: Advice
) -> Message:
    join = _join(now, generation, "weights")
    if not rollout.results:
        where = {"run_id": now.run_id, "generation": generation.number, "join": join}
        return WeightUpdateFailed(**where, reason=_nothing(rollout))
    if asked := demonstrating.request(now, generation, join, advice):
        return asked
    advised = (advice.algorithm, advice.why) if advice.patch and advice.algorithm else None
    return _update(now, generation, rollout, diagnosis, advised)


def propose_weights(now: Situation, generation: Generation, ready: DemonstrationsReady) -> Message:
    """The weight update, now that it is known which right answers there are."""
    rollout = generation.rollouts[("train", 0)]
    diagnosis = diagnose(now.states(rollout), now.task.manifest.score, len(rollout.losses))
    return _update(now, generation, rollout, diagnosis, None, ready)


def _update(
    now: Situation,
    generation: Generation,
    rollout: Rollout,
    diagnosis: Diagnosis,
    advised: tuple[str, str] | None,
    ready: DemonstrationsReady | None = None,
) -> Message:
    where = {
        "run_id": now.run_id,
        "generation": generation.number,
        "join": _join(now, generation, "weights"),
    }
    shards = [*_earlier_shards(now, generation), *rollout.results]
    seed = seeds.update_seed(now.config, generation.number)
    update = propose_update(
        diagnosis, shards, now.config.training, seed, advised, ready, now.task.manifest.score.ranks_only
    )
    if isinstance(update, str):
        return WeightUpdateFailed(**where, reason=update)
    if broken := training_over_budget(now.history, now.config.budget):
        return WeightUpdateFailed(**where, reason=broken)
    return WeightUpdateProposed(
        **where,
        config=now.history.config,
        release=_live(generation),
        update=put_json(now.store, update),
        reason=update.reason,
    )


def _earlier_shards(now: Situation, generation: Generation) -> list[str]:
    """The last generation's train shards, where the very same policy sampled them: they are on-policy
    still."""
    before = now.history.all.get(generation.number - 1)
    same = before is not None and before.number > 0 and before.release is not None
    if not same or before is None or before.release is None:
        return []
    if (before.release.base, before.release.adapter) != (_live(generation).base, _live(generation).adapter):
        return []
    rollout = before.rollouts.get(("train", 0))
    return rollout.results if rollout else []


def _live(generation: Generation) -> Release:
    assert generation.release is not None, "a generation opens with a release"
    return generation.release


def _join(now: Situation, generation: Generation, lever: Lever) -> Join:
    expected = len(levers_in_use(now.config))
    return Join(id=digest_of([now.run_id, generation.number, "proposals"]), slot=lever, expected=expected)


def _nothing(rollout: Rollout) -> str:
    return f"all train shards were lost: {'; '.join(sorted(set(rollout.losses)))}"
