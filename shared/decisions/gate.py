"""The gate: pure functions from a GateRecord, which holds all evidence, to the decision and its one sentence.

Screen picks an arm and proves nothing. Confirm is the one test of a generation; it is decided by betting.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shared.decisions.arms import Paired
from shared.decisions.betting import e_value, log_wealth
from shared.decisions.intervals import standard_error, t_interval
from shared.messages.records import ARMS, ArmResult, GateRecord, Interval
from shared.tasks.task import ScoreSection

FEWEST_PAIRS = 2  # below this nothing is compared
FEWEST_FOR_FUTILITY = 6  # pairs; before, their spread is not known
TIE = 1e-9


@dataclass(frozen=True)
class Verdict:
    decision: Literal["promoted", "rejected", "undecided"]
    why: str


def screened(paired: Paired, null_arms: dict[str, str], bounds: ScoreSection) -> GateRecord:
    """The screen's part of the record: an interval an arm, or null with a reason, and the arm that it
    picks."""
    enough = len(paired.instances) >= FEWEST_PAIRS
    arms = {arm: ArmResult(reason=reason) for arm, reason in null_arms.items()}
    for arm, scores in paired.scores.items():
        interval = t_interval(scores, bounds.low, bounds.high) if scores else None
        arms[arm] = ArmResult(interval=interval, reason="" if scores else f"no scores: {paired.lost}")
    return GateRecord(
        screen={arm: arms[arm] for arm in ARMS if arm in arms},
        screen_scores=paired.scores if enough else {},
        chosen=pick(paired) if enough else "base",
        bound=bounds.high - bounds.low,
        lost=paired.lost,
    )


def pick(paired: Paired) -> str:
    """The arm with the highest mean gain over base; ties prefer nothing, harness, weights, both."""
    gains = {arm: math.fsum(paired.differences(arm)) for arm in ARMS if arm in paired.scores}
    best = max(gains.values())
    return next(arm for arm in ARMS if arm in gains and gains[arm] >= best - TIE)


def confirmed(
    screen: GateRecord,
    differences: Sequence[float],
    alpha: float,
    min_effect: float,
    max_pairs: int,
    lost: str,
) -> GateRecord:
    """The record with the confirmation's evidence so far."""
    gain = t_interval(differences, -screen.bound, screen.bound) if differences else None
    return screen.model_copy(
        update={
            "differences": tuple(differences),
            "e_value": e_value(differences, screen.bound, min_effect),
            "threshold": 1.0 / alpha,
            "alpha": alpha,
            "min_effect": min_effect,
            "max_pairs": max_pairs,
            "gain": gain,
            "lost": "; ".join(part for part in (screen.lost, lost) if part),
        }
    )


def decide(record: GateRecord) -> Verdict:
    """The decision, from the record's evidence alone. `undecided` asks for another round of pairs."""
    if record.chosen == "base":
        why = f"the arms were not measured: {record.ended}" if record.ended else _screen_text(record)
        return Verdict("rejected", _with_losses(record, why))
    if not record.threshold:
        if record.ended:
            return Verdict(
                "rejected", _with_losses(record, f"{record.chosen} was not confirmed: {record.ended}")
            )
        return Verdict("undecided", f"{record.chosen} was picked by the screen")
    evidence = e_value(record.differences, record.bound, record.min_effect)
    facts = _facts(record, evidence)
    if len(record.differences) >= FEWEST_PAIRS and evidence >= record.threshold:
        return Verdict("promoted", _with_losses(record, facts))
    stop = record.ended or futile(record)
    if stop:
        return Verdict("rejected", _with_losses(record, f"{facts}: {stop}"))
    return Verdict("undecided", facts)


def futile(record: GateRecord) -> str:
    """Why more pairs would be wasted, or empty. Stopping early without a promotion can't make a false one."""
    pairs, left = len(record.differences), record.max_pairs - len(record.differences)
    if pairs < FEWEST_PAIRS:
        return f"only {pairs} pairs could be compared"
    if left <= 0:
        return f"not confirmed within {record.max_pairs} pairs"
    mean = math.fsum(record.differences) / pairs
    if mean <= record.min_effect:
        return "the gain so far is not above the minimum effect"
    if pairs >= FEWEST_FOR_FUTILITY:
        hope = min(record.bound, mean + 2 * standard_error(record.differences))
        best = (*record.differences, *[hope] * left)
        if log_wealth(best, record.bound, record.min_effect) < math.log(record.threshold):
            return f"out of reach within {record.max_pairs} pairs even if the rest gained {hope:.3f} each"
    return ""


def _screen_text(record: GateRecord) -> str:
    compared = [arm for arm in record.screen_scores if arm != "base"]
    if not record.screen_scores:
        return "too few instances could be compared in the screen"
    if not compared:
        return "no proposal lived: " + "; ".join(
            f"{a}: {r.reason}" for a, r in record.screen.items() if r.reason
        )
    gains = {arm: _mean_gain(record, arm) for arm in compared}
    best = max(gains, key=lambda arm: gains[arm])
    return f"no arm's mean was above base in the screen (best: {best}, {gains[best]:+.3f})"


def _mean_gain(record: GateRecord, arm: str) -> float:
    base = record.screen_scores["base"]
    return math.fsum(a - b for a, b in zip(record.screen_scores[arm], base, strict=True)) / len(base)


def _facts(record: GateRecord, evidence: float) -> str:
    sign = ">=" if evidence >= record.threshold else "<"
    return (
        f"{record.chosen} against base: {_gain_text(record.gain)} over {len(record.differences)} fresh "
        f"instances, e-value {evidence:.3g} {sign} {record.threshold:.3g} (alpha {record.alpha:.4f})"
    )


def _gain_text(gain: Interval | None) -> str:
    return (
        "no gain measured" if gain is None else f"gain {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    )


def _with_losses(record: GateRecord, text: str) -> str:
    return f"{text}; {record.lost}" if record.lost else text
