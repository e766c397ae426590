"""From answered proposals through screen and confirmation to a promotion or a rejection, on stored
evidence."""

from __future__ import annotations

from collections.abc import Collection

from feedback_service.course.course import go_on, room
from feedback_service.course.situation import Situation, open_rollouts
from shared.decisions.arms import Paired, pair
from shared.decisions.betting import generation_alpha
from shared.decisions.gate import confirmed, decide, screened
from shared.decisions.levers import LEVERS, levers_in_use, why_off
from shared.ledger.history import Generation, Rollout
from shared.messages.events import Message, ReleasePromoted, ReleaseRejected
from shared.messages.records import ArmResult, GateRecord, Release
from shared.store.store import put_json


def open_screen(now: Situation, generation: Generation) -> list[Message]:
    """All arms that live on the same fresh instances; a rejection where base is alone or the budget is at
    its end."""
    arms = generation.arms(levers_in_use(now.config))
    nulls = {arm: ArmResult(reason=reason) for arm, reason in null_arms(now, generation).items()}
    if len(arms) == 1:
        return _end(now, generation, GateRecord(screen=nulls, screen_scores={"base": ()}))
    if broken := room(now):
        return _end(now, generation, GateRecord(screen=nulls, ended=broken))
    releases: dict[str, Release] = {str(arm): release for arm, release in arms.items()}
    opened = open_rollouts(now, generation.number, "screen", releases, now.config.gate.screen_instances)
    return opened or _end(now, generation, GateRecord(screen=nulls, ended="the gate split is exhausted"))


def after_screen(now: Situation, generation: Generation) -> list[Message]:
    return _next(now, generation, screen_record(now, generation))


def after_confirm(now: Situation, generation: Generation) -> list[Message]:
    return _next(now, generation, confirm_record(now, generation))


def null_arms(now: Situation, generation: Generation) -> dict[str, str]:
    """Why an arm can't be measured, for each that can't."""
    reasons: dict[str, str] = {}
    for lever in LEVERS:
        proposal = generation.harness if lever == "harness" else generation.weights
        off = why_off(now.config, lever)
        if off or proposal is None or proposal.made is None:
            reasons[lever] = off or (proposal.refused if proposal else "") or "not proposed"
    if reasons:
        reasons["both"] = "; ".join(f"{lever}: {reason}" for lever, reason in reasons.items())
    return reasons


def screen_record(now: Situation, generation: Generation) -> GateRecord:
    rollout = generation.rollouts[("screen", 0)]
    unserved = {arm: why for state in now.states(rollout) for arm, why in state.null_arms.items()}
    paired = _paired(now, rollout, unserved)
    return screened(paired, null_arms(now, generation) | unserved, now.task.manifest.score)


def confirm_record(now: Situation, generation: Generation) -> GateRecord:
    """All rounds so far as one record."""
    screen, gate = screen_record(now, generation), now.config.gate
    rounds = [r for (purpose, _), r in sorted(generation.rollouts.items()) if purpose == "confirm"]
    paired = [_paired(now, rollout) for rollout in rounds]
    before = [past for past in now.history.generations if past.number < generation.number]
    tests = 1 + sum(("confirm", 0) in past.rollouts for past in before)  # alpha is spent by tests alone
    promotions = sum(past.decision == "promoted" for past in before)
    return confirmed(
        screen,
        [difference for part in paired for difference in part.differences(screen.chosen)],
        generation_alpha(gate.alpha, tests, now.config.run.generations, promotions),
        gate,
        "; ".join(part.lost for part in paired if part.lost),
    )


def _paired(now: Situation, rollout: Rollout, unserved: Collection[str] = ()) -> Paired:
    arms = [contender.arm for contender in rollout.opened.releases if contender.arm not in unserved]
    return pair(now.states(rollout), arms, now.instances(rollout), now.task.manifest.score, rollout.losses)


def _next(now: Situation, generation: Generation, record: GateRecord) -> list[Message]:
    """What follows from the record: a decision, or another round of pairs if they can still be bought."""
    if decide(record).decision != "undecided":
        return _end(now, generation, record)
    opened, hindrance = _open_round(now, generation, record)
    return opened or _end(now, generation, record.model_copy(update={"ended": hindrance}))


def _open_round(now: Situation, generation: Generation, record: GateRecord) -> tuple[list[Message], str]:
    gate = now.config.gate
    bought = sum(
        len(now.instances(r)) for (purpose, _), r in generation.rollouts.items() if purpose == "confirm"
    )
    pairs = min(gate.round_instances, gate.max_pairs - bought)
    if pairs <= 0:  # some were lost to broken infrastructure
        return [], f"all {gate.max_pairs} pairs are used up"
    if broken := room(now, pairs):
        return [], broken
    round_ = sum(purpose == "confirm" for purpose, _ in generation.rollouts)
    arms = generation.arms(levers_in_use(now.config))
    releases = {str(arm): arms[arm] for arm in arms if arm in ("base", record.chosen)}
    opened = open_rollouts(now, generation.number, "confirm", releases, pairs, round_)
    return opened, "the gate split has no fresh instance left"


def _end(now: Situation, generation: Generation, record: GateRecord) -> list[Message]:
    """Say the decision with its evidence, and go on."""
    verdict, evidence = decide(record), put_json(now.store, record)
    where = {"run_id": now.run_id, "generation": generation.number}
    said: Message
    if verdict.decision == "promoted":
        release = next(
            r for arm, r in generation.arms(levers_in_use(now.config)).items() if arm == record.chosen
        )
        said = ReleasePromoted(
            **where, release=release, arm=record.chosen, evidence=evidence, why=verdict.why
        )
    else:
        assert generation.release is not None
        said = ReleaseRejected(**where, release=generation.release, evidence=evidence, why=verdict.why)
    return [said, *go_on(now.heard(said))]
