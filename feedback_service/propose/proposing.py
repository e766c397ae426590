"""From joined train rollouts to both proposals. A lever with nothing to propose answers its join itself."""

from __future__ import annotations

from dataclasses import replace

from feedback_service.course.budget import training_over_budget
from feedback_service.course.situation import Situation
from feedback_service.propose import demonstrating
from feedback_service.propose.advisor.advising import advice_on, advised_learning
from feedback_service.propose.advisor.asking import Advice
from feedback_service.propose.advisor.learning import without
from feedback_service.propose.analyst import propose_patch, propose_update
from feedback_service.propose.diagnosis import Diagnosis, Scored, diagnose, scored_of
from feedback_service.propose.edit_budget import edit_budget
from feedback_service.propose.memory import Memory, remember
from feedback_service.propose.shortening import prompt_texts, propose_shorter
from feedback_service.propose.trying import Found, found
from shared.decisions import seeds
from shared.decisions.convergence import convergence
from shared.decisions.levers import Lever, levers_of
from shared.ledger.history.state import Generation, Rollout
from shared.messages.analysis import Learning
from shared.messages.events import (
    DemonstrationsReady,
    HarnessProposed,
    HarnessRefused,
    Join,
    Message,
    WeightUpdateFailed,
    WeightUpdateProposed,
)
from shared.messages.proposals import Patch
from shared.messages.records import Release, digest_of
from shared.store.store import get_bundle, put_json

SMOKE_TRACES = 2  # shards that a patched scaffold must be able to replay
ROUNDS_KEPT = 3  # generations, besides its own, whose replies tell of fields


def propose(now: Situation, generation: Generation, rollout: Rollout) -> list[Message]:
    diagnosis = diagnose(now.states(rollout), now.task.manifest.score, len(rollout.losses))
    memory = remember(now.history, now.store)
    levers = levers_of(now.config, generation)
    tried = found(now, generation) if rollout.results else None
    advice = Advice()
    if rollout.results:
        advice = advice_on(now, generation, rollout, diagnosis, memory, tried.record if tried else None)
    messages: list[Message] = []
    if "harness" in levers:
        messages.append(_harness(now, generation, rollout, diagnosis, memory, advice, tried))
    if "weights" in levers:
        paid = advice if levers == ("weights",) else Advice(learning=advice.learning)
        patch = next((one.patch for one in messages if isinstance(one, HarnessProposed)), "")
        messages.append(_weights(now, generation, rollout, diagnosis, paid, patch))
    return messages


def _harness(
    now: Situation,
    generation: Generation,
    rollout: Rollout,
    diagnosis: Diagnosis,
    memory: Memory,
    advice: Advice,
    tried: Found | None,
) -> Message:
    release, join = _live(generation), _join(now, generation, "harness")
    where = {"run_id": now.run_id, "generation": generation.number, "join": join}
    if not rollout.results:
        return HarnessRefused(**where, reason=_nothing(rollout))
    patches = advice.patches or _analysts(now, generation, rollout, diagnosis, memory, release.harness, tried)
    instead = f" ({advice.why})" if advice.why and not advice.patches else ""
    paid = {"cost": advice.cost, "analysis": advice.analysis}
    paid |= {"design": put_json(now.store, tried.record)} if tried else {}
    if not patches:
        reason = f"the analyst has no new edit to propose for this harness{instead}"
        if tried:
            reason = f"no setting of the knobs is surely better ({tried.record.attempts} attempts){instead}"
        return HarnessRefused(**where, reason=reason, **paid)
    first, *others = (put_json(now.store, patch) for patch in patches)
    return HarnessProposed(
        **where,
        config=now.history.config,
        patch=first,
        others=tuple(others),
        smoke=tuple(rollout.results[:SMOKE_TRACES]),
        reason=patches[0].reason + instead,
        **paid,
    )


def _analysts(
    now: Situation,
    generation: Generation,
    rollout: Rollout,
    diagnosis: Diagnosis,
    memory: Memory,
    harness: str,
    tried: Found | None,
) -> tuple[Patch, ...]:
    """The best setting of the design, or less prompt text where the weights may carry it by now, or what the
    diagnosis supports."""
    if tried and tried.move:
        return (Patch(base=harness, edits=tried.move.edits, reason=tried.move.reason),)
    files = get_bundle(now.store, harness)
    if now.config.gate.no_worse_margin and _live(generation).adapter:
        prompts = prompt_texts(now.states(rollout))
        if shorter := propose_shorter(harness, files, prompts, memory.closed(harness)):
            return (shorter,)
    state = convergence(now.history, now.config.convergence).state
    seed = seeds.patch_seed(now.config, generation.number)
    most = edit_budget(generation.number, now.config.run.generations)
    known = replace(diagnosis, earlier=_earlier_replies(now, generation))
    patch = propose_patch(harness, files, known, memory, seed, state, most, designed=tried is not None)
    return (patch,) if patch else ()


def _earlier_replies(now: Situation, generation: Generation) -> tuple[tuple[Scored, ...], ...]:
    """Of the last generations' train rollouts: which value of a field is better does not hang on the policy
    that drew it."""
    before = [one.train for one in now.history.generations if one.number < generation.number]
    return tuple(scored_of(now.states(rollout)) for rollout in before[-ROUNDS_KEPT:] if rollout)


def _weights(
    now: Situation,
    generation: Generation,
    rollout: Rollout,
    diagnosis: Diagnosis,
    advice: Advice,
    patch: str,
) -> Message:
    join = _join(now, generation, "weights")
    paid = {"cost": advice.cost, "analysis": advice.analysis}
    if not rollout.results:
        where = {"run_id": now.run_id, "generation": generation.number, "join": join}
        return WeightUpdateFailed(**where, reason=_nothing(rollout), **paid)
    asked = demonstrating.request(now, generation, join, advice, patch)
    message = asked or _update(now, generation, rollout, diagnosis, advice.learning)
    return message.model_copy(update=paid)


def propose_weights(now: Situation, generation: Generation, ready: DemonstrationsReady) -> Message:
    """The weight update, now that it is known which right answers there are."""
    rollout = generation.train
    assert rollout is not None, "proposals follow train rollouts"
    diagnosis = diagnose(now.states(rollout), now.task.manifest.score, len(rollout.losses))
    return _update(now, generation, rollout, diagnosis, advised_learning(now, generation), ready)


def _update(
    now: Situation,
    generation: Generation,
    rollout: Rollout,
    diagnosis: Diagnosis,
    advised: Learning | None,
    ready: DemonstrationsReady | None = None,
) -> Message:
    where = {
        "run_id": now.run_id,
        "generation": generation.number,
        "join": _join(now, generation, "weights"),
    }
    bounds, shards = now.task.manifest.score, list(rollout.results)
    if advised and advised.leave_out:
        kept = without(now.states(rollout), advised.leave_out)
        diagnosis, shards = diagnose(kept, bounds), [put_json(now.store, state) for state in kept]
    shards = [*_earlier_shards(now, generation), *shards]
    seed = seeds.update_seed(now.config, generation.number)
    update = propose_update(diagnosis, shards, now.config.training, seed, advised, ready, bounds.ranks_only)
    if isinstance(update, str):
        return WeightUpdateFailed(**where, reason=update)
    if broken := training_over_budget(now.history, now.config.budget, now.config.training.processes):
        return WeightUpdateFailed(**where, reason=broken)
    start = _sampled(generation)
    onward = "; from the adapter that was not promoted yet" if start != generation.release else ""
    return WeightUpdateProposed(
        **where,
        config=now.history.config,
        release=start,
        update=put_json(now.store, update),
        reason=update.reason + onward,
    )


def _earlier_shards(now: Situation, generation: Generation) -> list[str]:
    """The last generation's train shards, where the very same policy sampled them: they are on-policy
    still."""
    before = now.history.all.get(generation.number - 1)
    if before is None or before.number == 0 or before.train is None:
        return []
    then, mine = _sampled(before), _sampled(generation)
    return before.train.results if (then.base, then.adapter) == (mine.base, mine.adapter) else []


def _live(generation: Generation) -> Release:
    assert generation.release is not None, "a generation opens with a release"
    return generation.release


def _sampled(generation: Generation) -> Release:
    assert generation.sampled is not None, "proposals follow train rollouts"
    return generation.sampled


def _join(now: Situation, generation: Generation, lever: Lever) -> Join:
    expected = len(levers_of(now.config, generation))
    return Join(id=digest_of([now.run_id, generation.number, "proposals"]), slot=lever, expected=expected)


def _nothing(rollout: Rollout) -> str:
    return f"all train shards were lost: {'; '.join(sorted(set(rollout.losses)))}"
