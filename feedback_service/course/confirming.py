"""The rounds of a confirmation: which pairs are measured, how lost pairs are retried, and the joint
record."""

from __future__ import annotations

from dataclasses import dataclass, field

from feedback_service.course.course import room
from feedback_service.course.situation import Situation, open_on, open_rollouts
from shared.decisions.evidence.betting import generation_alpha
from shared.decisions.gate import confirmed
from shared.decisions.levers import levers_of
from shared.decisions.rails import mean_waited_s, measure
from shared.decisions.settling import Settled, settle
from shared.decisions.stretches import stretch_of
from shared.ledger.history.state import Generation, Rollout
from shared.messages.events import Message
from shared.messages.evidence import GateRecord


@dataclass
class Round:
    """Both arms on the same instances, each arm alone on what was lost of them, and base once more on what it
    alone lost then."""

    together: Rollout
    alone: dict[str, Rollout] = field(default_factory=dict)
    base_again: Rollout | None = None

    @property
    def rollouts(self) -> list[Rollout]:
        return [self.together, *self.alone.values(), *([self.base_again] if self.base_again else [])]

    @property
    def losses(self) -> list[str]:
        return sorted({loss for rollout in self.rollouts for loss in rollout.losses})


def rounds_of(generation: Generation) -> list[Round]:
    rounds: list[Round] = []
    for (purpose, _), rollout in sorted(generation.rollouts.items()):
        if purpose == "confirm":
            arms = [contender.arm for contender in rollout.opened.releases]
            if len(arms) > 1:
                rounds.append(Round(rollout))
            elif arms[0] in rounds[-1].alone:
                rounds[-1].base_again = rollout
            else:
                rounds[-1].alone[arms[0]] = rollout
    return rounds


def open_again(now: Situation, generation: Generation, chosen: str) -> list[Message]:
    """What the last round lost, with one arm alone: base, then the other, then base where it alone was lost.
    Nothing where nothing was lost, or no budget is left for it."""
    rounds = rounds_of(generation)
    pending = _settled(now, rounds[-1], chosen).pending
    if not pending or room(now, len(pending)):
        return []
    arm = chosen if set(rounds[-1].alone) == {"base"} else "base"
    releases = {
        str(name): release for name, release in generation.arms(levers_of(now.config, generation)).items()
    }
    seeds, number = rounds[-1].together.opened.seeds, generation.number
    return [open_on(now, number, "confirm", {arm: releases[arm]}, pending, seeds, _next_round(generation))]


def open_round(now: Situation, generation: Generation, record: GateRecord) -> tuple[list[Message], str]:
    """The next pairs, or why there can be none. What was lost is bought anew: too many losses end it
    first."""
    gate = now.config.gate
    pairs = min(gate.round_instances, gate.max_pairs - len(record.differences))
    if broken := room(now, pairs):
        return [], broken
    arms = generation.arms(levers_of(now.config, generation))
    releases = {str(arm): arms[arm] for arm in arms if arm in ("base", record.chosen)}
    opened = open_rollouts(now, generation.number, "confirm", releases, pairs, _next_round(generation))
    return opened, "the gate split has no fresh instance left"


def confirm_record(now: Situation, generation: Generation, screen: GateRecord) -> GateRecord:
    """All rounds so far as one record."""
    gate, rounds = now.config.gate, rounds_of(generation)
    settled = [_settled(now, round_, screen.chosen) for round_ in rounds]
    alpha = alpha_of(now, generation)
    lost = sum(part.lost + len(part.pending) for part in settled)
    measured = [rollout for round_ in rounds for rollout in round_.rollouts]
    attempts = [a for rollout in measured for state in now.states(rollout) for a in state.attempts]
    why = "; ".join(sorted({loss for round_ in rounds for loss in round_.losses}))
    return confirmed(
        screen,
        [difference for part in settled for difference in part.differences],
        alpha,
        gate,
        "; ".join(filter(None, (_lost_text(lost, why), _fault_text(settled, why)))),
        lost,
        measure(gate, settled, attempts, screen.chosen, shorter=screen.min_effect < 0),
        mean_waited_s(attempts),
    )


def alpha_of(now: Situation, generation: Generation) -> float:
    """Of its confirmation. Alpha is spent by tests alone: a generation without one costs none."""
    before = [past for past in now.history.generations if past.number < generation.number]
    mine = stretch_of(generation.number, now.config.run.generations, now.history.limits)
    tested = [past for past in before if past.number > mine.start and ("confirm", 0) in past.rollouts]
    promotions = sum(past.decision == "promoted" for past in before)
    total = now.config.gate.alpha * mine.share
    return generation_alpha(total, 1 + len(tested), mine.end - mine.start, promotions)


def _settled(now: Situation, round_: Round, chosen: str) -> Settled:
    return settle(
        now.states(round_.together),
        {arm: now.states(rollout) for arm, rollout in round_.alone.items()},
        chosen,
        now.instances(round_.together),
        now.task.manifest.score,
        now.states(round_.base_again) if round_.base_again else None,
    )


def _lost_text(lost: int, why: str) -> str:
    return f"{lost} pairs left out ({why or 'an attempt ended without a score'})" if lost else ""


def _fault_text(settled: list[Settled], why: str) -> str:
    counts: dict[str, int] = {}
    for part in settled:
        for arm, count in part.faults.items():
            counts[arm] = counts.get(arm, 0) + count
    notes = [
        f"{arm} alone was lost in {n} pairs and counts its lowest score there"
        for arm, n in counts.items()
        if n
    ]
    return "; ".join([*notes, why] if notes else [])


def _next_round(generation: Generation) -> int:
    return sum(purpose == "confirm" for purpose, _ in generation.rollouts)
