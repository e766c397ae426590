"""The power of a confirmation, computed before it starts: the gain that it finds four times in five with its
settings, and the pairs that a wanted gain needs. By simulation with fixed random numbers, so that the same
settings always get the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from shared.config.settings import GateSection, RunConfig
from shared.decisions.evidence.betting import generation_alpha
from shared.decisions.evidence.claims import CLAIMS, Terms
from shared.decisions.evidence.discordant import EARLY, last_line
from shared.decisions.evidence.graded import passed_in
from shared.decisions.evidence.t_evidence import Array
from shared.messages.records import JsonObject
from shared.tasks.task import Task

WANTED = 0.8  # of true gains are to be found
RUNS = {
    "graded": 400,
    "betting": 200,
    "right_or_wrong": 2000,
}  # simulated; a share of 0.8 is then known to 0.03
FEWEST_PAIRS, MOST_PAIRS = 16, 2048  # that are tried
SPREADS = {  # of the differences, as shares of the score's range
    "graded": (0.05, 0.1, 0.2, 0.4),
    "betting": (0.05, 0.1, 0.2, 0.4),
    "right_or_wrong": (0.3, 0.5, 0.7),  # 9, 25 and 49 % of the answers differ
}
STEPS = 7  # halvings: a gain to 1/128 of the bound


@dataclass(frozen=True)
class Findable:
    """A true gain of `gain` (in units of the score; None: none can be found) is promoted in WANTED of
    runs."""

    spread: float
    gain: float | None


def foreseen(config: RunConfig, task: Task, measured: float | None = None) -> JsonObject:
    """For a run's first confirmation, before anything is started: its terms, the gains that it can find,
    and the pairs that half such a gain would need. `measured`: the spread of the differences in earlier runs;
    None: unknown, and a few are tried."""
    gate, score = config.gate, task.manifest.score
    alpha = generation_alpha(gate.alpha, 1, config.run.generations, 0)
    terms = Terms(alpha, gate.min_effect, score.high - score.low, gate.max_pairs)
    found = findable(gate.test, terms)
    middle = found[1] if measured is None else Findable(measured, smallest_gain(gate.test, measured, terms))
    wanted = middle.gain / 2 if middle.gain else None
    return {
        "test": gate.test,
        "assumes": CLAIMS[gate.test].assumes,
        "alpha": alpha,
        "max_pairs": gate.max_pairs,
        "found_four_times_in_five": [vars(row) for row in found],
        "at_the_measured_spread": None if measured is None else vars(middle),
        "half_the_gain": {
            "spread": middle.spread,
            "gain": wanted,
            "pairs": pairs_needed(gate.test, wanted, middle.spread, terms) if wanted else None,
        },
        "less_prompt_text": _no_worse(gate, middle.spread, terms),
    }


def _no_worse(gate: GateSection, spread: float, terms: Terms) -> JsonObject | None:
    """The pairs that a patch needs which drops prompt text and changes no score in the mean. None: no such
    patch is proposed."""
    if not gate.no_worse_margin:
        return None
    claimed = replace(terms, min_effect=-gate.no_worse_margin)
    pairs = pairs_needed(gate.test, 0.0, spread, claimed)
    return {"margin": gate.no_worse_margin, "spread": spread, "pairs": pairs}


def foreseen_text(found: JsonObject) -> str:
    gains = ", ".join(_row_text(row["gain"], row["spread"]) for row in found["found_four_times_in_five"])
    half, known = found["half_the_gain"], found["at_the_measured_spread"]
    if known:
        gains = _row_text(known["gain"], known["spread"])
    text = (
        f"what the first confirmation can find: of true gains it promotes four in five from {gains} "
        f"(spread: standard deviation of the difference on one instance), with {found['max_pairs']} pairs at "
        f"alpha {found['alpha']:.4f}"
    )
    if half["gain"]:
        pairs = f"{half['pairs']} pairs" if half["pairs"] else f"more than {MOST_PAIRS} pairs"
        text += f"; a gain of {half['gain']:.3g} at {half['spread']:.3g} needs {pairs} (gate.max_pairs)"
    if less := found["less_prompt_text"]:
        pairs = f"{less['pairs']} pairs" if less["pairs"] else f"more than {MOST_PAIRS} pairs"
        text += f"; less prompt text, no worse by more than {less['margin']:.3g}, needs {pairs}"
    return f"{text}. Test {found['test']}: it {found['assumes']}."


def _row_text(gain: float | None, spread: float) -> str:
    return f"{gain:.3g} at a spread of {spread:.3g}" if gain else f"none at {spread:.3g}"


def findable(test: str, terms: Terms) -> list[Findable]:
    """For a few spreads that differences may have: how small a gain the confirmation still finds."""
    spreads = [share * terms.bound for share in SPREADS[test]]
    return [Findable(spread, smallest_gain(test, spread, terms)) for spread in spreads]


def smallest_gain(test: str, spread: float, terms: Terms) -> float | None:
    low, high = terms.min_effect, terms.bound
    if power(test, high, spread, terms) < WANTED:
        return None
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if power(test, middle, spread, terms) >= WANTED else (middle, high)
    return high


def pairs_needed(test: str, gain: float, spread: float, terms: Terms) -> int | None:
    """About the smallest `max_pairs` that finds this gain. None: MOST_PAIRS do not suffice."""

    def enough(pairs: int) -> bool:
        return power(test, gain, spread, replace(terms, max_pairs=pairs)) >= WANTED

    high = FEWEST_PAIRS
    while not enough(high):
        high *= 2
        if high > MOST_PAIRS:
            return None
    low = high // 2
    while high - low > max(1, high // 16):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def power(test: str, gain: float, spread: float, terms: Terms) -> float:
    """Share of confirmations that promote a true gain; for right-or-wrong scores at the last look alone."""
    if test == "right_or_wrong":
        return _power_of_answers(gain / terms.bound, spread / terms.bound, terms)
    room = terms.bound - abs(gain)  # cut evenly, so that the mean stays
    differences = gain + np.clip(spread * _noise(RUNS[test], terms.max_pairs), -room, room)
    if test == "graded":
        return float(passed_in(differences, terms.alpha, terms.min_effect, terms.bound)[:, -1].mean())
    return float(np.mean([CLAIMS[test].look(row.tolist(), terms).passed for row in differences]))


def _power_of_answers(gain: float, spread: float, terms: Terms) -> float:
    """Differences are -1, 0 or 1, with this spread where that can be had with this mean."""
    differing = min(1.0, max(abs(gain), spread**2 + gain**2))
    least = terms.min_effect / terms.bound
    by_lot = abs(least) / (1 + abs(least))
    won, lost = ((1 - by_lot) * (differing + sign * gain) / 2 for sign in (1, -1))
    won, lost = (won, lost + by_lot) if least > 0 else (won + by_lot, lost)
    parts = [won, lost, max(0.0, 1 - won - lost)]
    drawn = np.random.default_rng(0).multinomial(terms.max_pairs, parts, RUNS["right_or_wrong"])
    lines = [last_line(count, terms.alpha * (1 - EARLY)) for count in range(terms.max_pairs + 1)]
    return float(np.mean(drawn[:, 0] >= np.array(lines)[drawn[:, 0] + drawn[:, 1]]))


@cache
def _noise(runs: int, pairs: int) -> Array:
    return np.random.default_rng(0).standard_normal((runs, pairs))
