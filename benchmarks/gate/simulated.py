"""Whole simulated runs through the functions that decide real ones: screen, rounds of confirmation, alpha
over generations. Part of `ratchet bench gate`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.gate.worlds import Array, Draw, answers, normal, rare_losses
from shared.config.settings import GateSection
from shared.decisions.arms import Paired
from shared.decisions.evidence.betting import generation_alpha
from shared.decisions.gate import confirmed, decide, screened
from shared.decisions.intervals import t_interval
from shared.messages.records import ARMS
from shared.tasks.task import ScoreSection

BOUNDS = ScoreSection(low=0.0, high=1.0)


@dataclass(frozen=True)
class Candidate:
    """What a generation brings: harness, weights, and both (which adds the two up where there is no draw
    of its own)."""

    arms: dict[str, Draw]
    gains: dict[str, float]


@dataclass
class Tally:
    generations: int = 0
    promotions: int = 0
    false: int = 0
    runs_with_false: int = 0
    false_shares: list[float] = field(default_factory=list)
    pairs: list[int] = field(default_factory=list)
    recorded: list[float] = field(default_factory=list)
    true: list[float] = field(default_factory=list)


def simulate_run(
    rng: np.random.Generator,
    gate: GateSection,
    generations: int,
    bring: Callable[[np.random.Generator], Candidate],
    tally: Tally,
) -> None:
    """One run: each generation screens, confirms in rounds, and decides; alpha follows the promotions so
    far."""
    tests = promotions = false = 0
    for _ in range(generations):
        candidate = bring(rng)
        tally.generations += 1
        record = screened(_screen(rng, gate, candidate), {}, BOUNDS)
        if decide(record).decision == "rejected":
            continue
        tests += 1
        alpha = generation_alpha(gate.alpha, tests, generations, promotions)
        differences: list[float] = []
        while (verdict := decide(record)).decision == "undecided":
            count = min(gate.round_instances, gate.max_pairs - len(differences))
            differences += candidate.arms[record.chosen](rng, 1, count)[0].tolist()
            record = confirmed(record, differences, alpha, gate)
        tally.pairs.append(len(differences))
        if verdict.decision == "promoted" and record.gain is not None:
            promotions += 1
            false += candidate.gains[record.chosen] <= gate.min_effect
            tally.recorded.append(record.gain.mean)
            tally.true.append(candidate.gains[record.chosen])
    tally.promotions += promotions
    tally.false += false
    tally.runs_with_false += false > 0
    tally.false_shares.append(false / max(1, promotions))


def _screen(rng: np.random.Generator, gate: GateSection, candidate: Candidate) -> Paired:
    n = gate.screen_instances
    scores = {"base": (0.0,) * n}
    scores |= {arm: tuple(draw(rng, 1, n)[0].tolist()) for arm, draw in candidate.arms.items()}
    return Paired(tuple(map(str, range(n))), {arm: scores[arm] for arm in ARMS if arm in scores})


def equal(draw: Draw, gain: float = 0.0) -> Callable[[np.random.Generator], Candidate]:
    """Every arm of every generation draws the same way."""
    arms = dict.fromkeys(("harness", "weights", "both"), draw)
    return lambda rng: Candidate(arms, dict.fromkeys(arms, gain))


def mixed(rng: np.random.Generator) -> Candidate:
    """Half of all proposals are worth nothing, four in ten harm, one in ten gains 0.2: as reliability.md
    has it."""
    gains = {arm: float(rng.choice([0.0, -0.1, 0.2], p=[0.5, 0.4, 0.1])) for arm in ("harness", "weights")}
    gains["both"] = gains["harness"] + gains["weights"]
    return Candidate({arm: normal(gain, 0.15) for arm, gain in gains.items()}, gains)


def run_scenario(
    runs: int,
    seed: int,
    gate: GateSection,
    generations: int,
    bring: Callable[[np.random.Generator], Candidate],
) -> dict[str, float]:
    rng, tally = np.random.default_rng(seed), Tally()
    for _ in range(runs):
        simulate_run(rng, gate, generations, bring, tally)
    confirmed_share = t_interval(tally.false_shares, 0.0, 1.0)
    return {
        "runs": runs,
        "generations": generations,
        "promoted_per_generation": tally.promotions / tally.generations,
        "false_promotions": tally.false,
        "runs_with_a_false_promotion": tally.runs_with_false / runs,
        "false_share_of_promotions": confirmed_share.mean,  # what e-LOND bounds by alpha
        "false_share_high": confirmed_share.high,
        "mean_pairs": float(np.mean(tally.pairs)) if tally.pairs else 0.0,
        "recorded_minus_true_gain": float(np.mean(np.subtract(tally.recorded, tally.true)))
        if tally.true
        else 0.0,
    }


def naive_rules(runs: int, seed: int, gate: GateSection, draw: Draw, generations: int) -> dict[str, float]:
    """Share of the null runs in which simpler gates would promote at least once, over all generations."""
    rng = np.random.default_rng(seed)
    samples = draw(rng, runs * generations, gate.max_pairs)
    higher = samples.mean(1) > 0
    peeked = np.array([_peeking_t(sample, gate) for sample in samples])
    by_run = {"mean_is_higher": higher, "t_test_peeked_at": peeked}
    return {name: float(found.reshape(runs, generations).any(1).mean()) for name, found in by_run.items()}


def _peeking_t(sample: Array, gate: GateSection) -> bool:
    """A one-sided t-test at 2.5 %, looked at after every round."""
    ends = range(gate.round_instances, gate.max_pairs + 1, gate.round_instances)
    return any(t_interval(sample[:end].tolist(), -1.0, 1.0).low > 0 for end in ends)


def measure(runs: int, seed: int, gate: GateSection) -> dict[str, Any]:
    scenarios = {
        "equal, spread 0.15": (12, equal(normal(0.0, 0.15))),
        "rare great losses: 5 % lose 0.94, spread 0.1": (12, equal(rare_losses(0.05, 0.94, 0.1))),
        "right or wrong, equal": (12, equal(answers(0.0))),
        "gain 0.076, spread 0.1": (3, equal(normal(0.076, 0.1), 0.076)),
        "gain 0.1, spread 0.15": (3, equal(normal(0.1, 0.15), 0.1)),
        "proposals of all kinds": (12, mixed),
    }
    rows: dict[str, Any] = {
        name: run_scenario(runs, seed, gate, generations, bring)
        for name, (generations, bring) in scenarios.items()
    }
    return rows | {"naive_rules_on_equal_arms": naive_rules(runs, seed, gate, normal(0.0, 0.15), 12)}


def table(rows: dict[str, Any]) -> list[str]:
    lines = [f"{'whole runs':62} promoted/gen  false share  runs with a false one  pairs"]
    for name, row in rows.items():
        if "generations" in row:
            lines.append(
                f"{name:62} {row['promoted_per_generation']:12.3f} {row['false_share_of_promotions']:12.4f} "
                f"{row['runs_with_a_false_promotion']:22.4f} {row['mean_pairs']:6.1f}"
            )
    return [*lines, f"simpler rules, equal arms: {rows['naive_rules_on_equal_arms']}"]
