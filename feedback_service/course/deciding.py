"""From answered proposals through screen and confirmation to a promotion or a rejection, on stored
evidence."""

from __future__ import annotations

from collections.abc import Collection

from feedback_service.course.confirming import confirm_record, open_again, open_round
from feedback_service.course.course import go_on, room
from feedback_service.course.guarding import taken_back
from feedback_service.course.postponing import why_postponed
from feedback_service.course.situation import Situation, open_rollouts
from shared.decisions.arms import Paired, pair
from shared.decisions.gate import decide, screened
from shared.decisions.levers import LEVERS, levers_of, why_off
from shared.ledger.history.state import Generation, Rollout
from shared.messages.events import Message, ReleasePromoted, ReleaseRejected
from shared.messages.evidence import ArmResult, GateRecord, Rail
from shared.messages.proposals import Patch
from shared.messages.records import Release
from shared.store.store import get_record, put_json


def open_screen(now: Situation, generation: Generation) -> list[Message]:
    """All arms that live on the same fresh instances; a rejection where base is alone or the budget is at
    its end."""
    arms = generation.arms(levers_of(now.config, generation))
    nulls = {arm: ArmResult(reason=reason) for arm, reason in null_arms(now, generation).items()}
    if len(arms) == 1:
        return _end(now, generation, GateRecord(screen=nulls, screen_scores={"base": ()}))
    if broken := room(now):
        return _end(now, generation, GateRecord(screen=nulls, ended=broken))
    releases: dict[str, Release] = {str(arm): release for arm, release in arms.items()}
    opened = open_rollouts(now, generation.number, "screen", releases, now.config.gate.screen_instances)
    return opened or _end(now, generation, GateRecord(screen=nulls, ended="the gate split is exhausted"))


def after_screen(now: Situation, generation: Generation) -> list[Message]:
    record = screen_record(now, generation)
    if why := why_postponed(now, generation, record):
        return _end(now, generation, record.model_copy(update={"postponed": why}))
    return _next(now, generation, record)


def after_confirm(now: Situation, generation: Generation) -> list[Message]:
    screen = screen_record(now, generation)
    if tried_again := open_again(now, generation, screen.chosen):
        return tried_again
    return _next(now, generation, confirm_record(now, generation, screen))


def null_arms(now: Situation, generation: Generation) -> dict[str, str]:
    """Why an arm can't be measured, for each that can't."""
    reasons: dict[str, str] = {}
    levers = levers_of(now.config, generation)
    for lever in LEVERS:
        proposal = generation.harness if lever == "harness" else generation.weights
        off = why_off(now.config, lever)
        if not off and lever not in levers:
            off = generation.rollouts[("train", 0)].opened.why_levers
        if off or proposal is None or proposal.made is None:
            reasons[lever] = off or (proposal.refused if proposal else "") or "not proposed"
    if reasons:
        reasons["both"] = "; ".join(f"{lever}: {reason}" for lever, reason in reasons.items())
    return reasons


def screen_record(now: Situation, generation: Generation) -> GateRecord:
    rollout = generation.rollouts[("screen", 0)]
    unserved = {arm: why for state in now.states(rollout) for arm, why in state.null_arms.items()}
    paired = _paired(now, rollout, unserved)
    nulls = null_arms(now, generation) | unserved
    return screened(paired, nulls, now.task.manifest.score, _margin(now, generation))


def _margin(now: Situation, generation: Generation) -> float:
    """By how much the harness arm may be worse: nothing, unless its patch only drops prompt text."""
    proposal = generation.harness
    if proposal is None or proposal.made is None or not proposal.digest:
        return 0.0
    claim = get_record(now.store, proposal.digest, Patch).claim
    return now.config.gate.no_worse_margin if claim == "no_worse" else 0.0


def _paired(now: Situation, rollout: Rollout, unserved: Collection[str] = ()) -> Paired:
    arms = [contender.arm for contender in rollout.opened.releases if contender.arm not in unserved]
    return pair(now.states(rollout), arms, now.instances(rollout), now.task.manifest.score, rollout.losses)


def _next(now: Situation, generation: Generation, record: GateRecord) -> list[Message]:
    """What follows from the record: a decision, or another round of pairs if they can still be bought."""
    if decide(record).decision != "undecided":
        return _end(now, generation, record)
    opened, hindrance = open_round(now, generation, record)
    return opened or _end(now, generation, record.model_copy(update={"ended": hindrance}))


def _end(now: Situation, generation: Generation, record: GateRecord) -> list[Message]:
    """The decision with its evidence, and the messages that continue the run."""
    back = taken_back(now)
    for event in back:
        now.after(event)
    if generation.release != now.history.release:  # its base is no longer live
        gone = Rail(name="roll-backs of the release that it was compared with", measured=1, limit=0)
        record = record.model_copy(update={"rails": (*record.rails, gone)})
    verdict, evidence = decide(record), put_json(now.store, record)
    where = {"run_id": now.run_id, "generation": generation.number}
    decision: Message
    if verdict.decision == "promoted":
        release = next(
            r for arm, r in generation.arms(levers_of(now.config, generation)).items() if arm == record.chosen
        )
        decision = ReleasePromoted(
            **where, release=release, arm=record.chosen, evidence=evidence, why=verdict.why
        )
    else:
        assert now.history.release is not None
        decision = ReleaseRejected(**where, release=now.history.release, evidence=evidence, why=verdict.why)
    return [*back, decision, *go_on(now.after(decision))]
