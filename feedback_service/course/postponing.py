"""Whether a confirmation waits for a later generation. Weight updates add up, confirmed or not
(sampling_policy.py), and a confirmation costs as much as a generation's training attempts and more: a gain
that would most likely not be confirmed yet is trained further first.
"""

from __future__ import annotations

from feedback_service.course.budget import over_budget
from feedback_service.course.confirming import alpha_of
from feedback_service.course.situation import Situation
from shared.decisions.evidence.chance import chance
from shared.decisions.evidence.claims import Terms
from shared.decisions.plan import confirm_step, design_step, screen_step, test_step, train_step
from shared.ledger.history.state import Generation
from shared.messages.evidence import GateRecord
from shared.store.store import get_record

EVEN = 0.5  # chance of a promotion below which a confirmation waits
MOST_IN_A_ROW = 2  # generations that wait; the next one is confirmed


def why_postponed(now: Situation, generation: Generation, screen: GateRecord) -> str:
    """Empty: it is confirmed now, or there is nothing to confirm."""
    trained = generation.weights is not None and generation.weights.made is not None
    if screen.chosen == "base" or screen.min_effect < 0 or not trained:
        return ""
    if _waited(now, generation) or not _another_fits(now, generation):
        return ""
    gate = now.config.gate
    pairs = zip(screen.screen_scores[screen.chosen], screen.screen_scores["base"], strict=True)
    terms = Terms(alpha_of(now, generation), gate.min_effect, screen.bound, gate.max_pairs)
    expected = chance(gate.test, [mine - base for mine, base in pairs], terms)
    if expected >= EVEN:
        return ""
    return (
        f"by the screen {gate.max_pairs} pairs would confirm it with a chance of {expected:.2f}, "
        f"so it is trained further first"
    )


def _waited(now: Situation, generation: Generation) -> bool:
    """Whether as many as may wait in a row have just waited."""
    before = [past for past in now.history.generations if past.number < generation.number][-MOST_IN_A_ROW:]
    records = [get_record(now.store, past.evidence, GateRecord) for past in before if past.evidence]
    return len(records) == MOST_IN_A_ROW and all(record.postponed for record in records)


def _another_fits(now: Situation, generation: Generation) -> bool:
    """A later generation with a whole confirmation."""
    config, task = now.config, now.task
    if now.history.stop or generation.number >= config.run.generations:
        return False
    steps = (
        train_step(config, task),
        design_step(config, task),
        screen_step(config, task),
        confirm_step(config, task, config.gate.max_pairs),
        test_step(config, task, releases=2),
    )
    return not over_budget(now.history, config.budget, *steps)
