"""The gate: pure functions from a GateRecord, which holds all evidence, to the decision and its one sentence.

Screen picks an arm and proves nothing: its instances are few and shared by arms, and what is picked as the
best of three looks better than it is, so its pairs don't count for the confirmation. Confirm is the one
test of a generation, by the test that the task asks for (claims.py): of a gain, or, where a patch only drops
prompt text, of "not worse by more than a margin". A margin stands in a record as a `min_effect` below 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from shared.config.settings import GateSection
from shared.decisions import rails
from shared.decisions.arms import Paired
from shared.decisions.evidence.betting import log_wealth
from shared.decisions.evidence.claims import CLAIMS, Finding, Terms, could_pass
from shared.decisions.evidence.picking import pick
from shared.decisions.intervals import standard_error, t_interval
from shared.messages.evidence import ArmResult, GateRecord, Interval, Rail
from shared.messages.records import ARMS
from shared.tasks.task import ScoreSection

FEWEST_PAIRS = 2  # below this nothing is compared
FEWEST_FOR_FUTILITY = 6  # pairs; before, their spread is not known
MOST_LOST = 0.05  # of the pairs; beyond, the missing ones may be those that count against the arm
HOPE = {
    "betting": 2.0,
    "graded": 3.0,
    "right_or_wrong": 3.0,
}  # standard errors: a round is cheaper than a gain
FEWEST_LOST = 2  # one lost pair alone shows nothing


@dataclass(frozen=True)
class Verdict:
    decision: Literal["promoted", "rejected", "undecided"]
    why: str


def screened(
    paired: Paired, null_arms: dict[str, str], bounds: ScoreSection, margin: float = 0.0
) -> GateRecord:
    """The screen's part of the record: an interval an arm, or null with a reason, and the arm that it
    picks. `margin`: by how much the harness arm may be worse, as its patch only drops text; 0: it must
    gain."""
    enough = len(paired.instances) >= FEWEST_PAIRS
    arms = {arm: ArmResult(reason=reason) for arm, reason in null_arms.items()}
    for arm, scores in paired.scores.items():
        interval = t_interval(scores, bounds.low, bounds.high) if scores else None
        arms[arm] = ArmResult(interval=interval, reason="" if scores else f"no scores: {paired.lost}")
    chosen = pick(paired, margin) if enough else "base"
    return GateRecord(
        screen={arm: arms[arm] for arm in ARMS if arm in arms},
        screen_scores=paired.scores if enough else {},
        chosen=chosen,
        min_effect=-margin if margin and chosen == "harness" else 0.0,
        bound=bounds.high - bounds.low,
        lost=paired.lost,
    )


def confirmed(
    screen: GateRecord,
    differences: Sequence[float],
    alpha: float,
    gate: GateSection,
    lost: str = "",
    lost_pairs: int = 0,
    measured: tuple[Rail, ...] = (),
    waited_s: Mapping[str, float] | None = None,
) -> GateRecord:
    """The record with the confirmation's evidence so far."""
    gain = t_interval(differences, -screen.bound, screen.bound) if differences else None
    least = screen.min_effect if screen.min_effect < 0 else gate.min_effect
    terms = Terms(alpha, least, screen.bound, gate.max_pairs)
    return screen.model_copy(
        update={
            "test": gate.test,
            "differences": tuple(differences),
            "e_value": CLAIMS[gate.test].look(differences, terms).e_value,
            "threshold": 1.0 / alpha,
            "alpha": alpha,
            "min_effect": least,
            "max_pairs": gate.max_pairs,
            "gain": gain,
            "lost": "; ".join(part for part in (screen.lost, lost) if part),
            "lost_pairs": lost_pairs,
            "rails": measured,
            "waited_s": dict(waited_s or {}),
        }
    )


def decide(record: GateRecord) -> Verdict:
    """The decision, from the record's evidence alone. `undecided` asks for another round of pairs."""
    if record.chosen == "base":
        why = f"the arms were not measured: {record.ended}" if record.ended else _screen_text(record)
        return Verdict("rejected", _with_losses(record, why))
    if not record.threshold:
        if why := record.postponed or record.ended:
            return Verdict("rejected", _with_losses(record, f"{record.chosen} was not confirmed: {why}"))
        return Verdict("undecided", f"{record.chosen} was picked by the screen")
    found = CLAIMS[record.test].look(record.differences, _terms(record))
    facts = _facts(record, found)
    unproven = too_many_lost(record)
    if found.passed and len(record.differences) >= FEWEST_PAIRS and not unproven:
        if too_dear := rails.broken(record.rails):
            return Verdict("rejected", _with_losses(record, f"{facts}: the gain is real, but {too_dear}"))
        return Verdict("promoted", _with_losses(record, facts))
    stop = record.ended or unproven or futile(record)
    if stop:
        return Verdict("rejected", _with_losses(record, f"{facts}: {stop}"))
    return Verdict("undecided", facts)


def was_judged(record: GateRecord) -> bool:
    """Whether the evidence of a confirmation decided it, and not a budget, an empty pool or lost pairs."""
    return bool(record.threshold) and not record.ended and not too_many_lost(record)


def too_many_lost(record: GateRecord) -> str:
    """Why the measured pairs prove nothing: too many others are missing."""
    opened = len(record.differences) + record.lost_pairs
    if record.lost_pairs <= MOST_LOST * opened or record.lost_pairs < FEWEST_LOST:
        return ""
    return f"unproven: {record.lost_pairs} of {opened} pairs were lost, more than {MOST_LOST:.0%}"


def futile(record: GateRecord) -> str:
    """Why more pairs would be wasted, or empty. Stopping early without a promotion can't make a false one."""
    pairs, left = len(record.differences), record.max_pairs - len(record.differences)
    if pairs < FEWEST_PAIRS:
        return f"only {pairs} pairs could be compared"
    if left <= 0:
        return f"not confirmed within {record.max_pairs} pairs"
    mean = math.fsum(record.differences) / pairs
    hopeless = "the gain so far is not above the minimum effect"
    if record.min_effect < 0:
        hopeless = f"the loss so far is not below the margin of {-record.min_effect:.3g}"
    if record.test == "betting" and mean <= record.min_effect:
        return hopeless
    if pairs >= FEWEST_FOR_FUTILITY:
        hope = min(record.bound, mean + HOPE[record.test] * standard_error(record.differences))
        if hope <= record.min_effect:
            return hopeless
        if not _reachable(record, hope, left):
            return f"out of reach within {record.max_pairs} pairs even if the rest gained {hope:.3f} each"
    return ""


def _reachable(record: GateRecord, hope: float, left: int) -> bool:
    if record.test != "betting":
        return could_pass(record.test, record.differences, _terms(record), hope)
    best = (*record.differences, *[hope] * left)
    return log_wealth(best, record.bound, record.min_effect) >= math.log(record.threshold)


def _terms(record: GateRecord) -> Terms:
    return Terms(record.alpha, record.min_effect, record.bound, record.max_pairs)


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


def _facts(record: GateRecord, found: Finding) -> str:
    sign = ">=" if found.e_value >= record.threshold else "<"
    facts = (
        f"{record.chosen} against base: {_gain_text(record.gain)} over {len(record.differences)} fresh "
        f"instances, e-value {found.e_value:.3g} {sign} {record.threshold:.3g} (alpha {record.alpha:.4f})"
    )
    if record.min_effect < 0:
        facts += f"; claimed: not worse by more than {-record.min_effect:.3g}, with less prompt text"
    if record.test == "betting":
        return facts
    detail = f", {found.detail}" if found.detail else ""
    return f"{facts}{detail}; test {record.test}: {CLAIMS[record.test].assumes}"


def _gain_text(gain: Interval | None) -> str:
    return (
        "no gain measured" if gain is None else f"gain {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    )


def _with_losses(record: GateRecord, text: str) -> str:
    return f"{text}; {record.lost}" if record.lost else text
