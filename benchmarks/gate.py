"""`ratchet bench gate`: how often does the gate promote what is no better, and miss what is? On simulated
runs, through the very functions that decide real ones (screen, rounds of confirmation, alpha over
generations).

python -m benchmarks.gate --runs 1000 --task trimul --json --out benchmarks/results/gate.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._machine import describe_machine
from ratchet.runs.request import resolve_config
from shared.config.settings import GateSection
from shared.decisions.arms import Paired
from shared.decisions.betting import generation_alpha
from shared.decisions.gate import confirmed, decide, screened
from shared.decisions.intervals import t_interval
from shared.messages.records import ARMS
from shared.tasks.task import ScoreSection

BOUNDS = ScoreSection(low=0.0, high=1.0)
Draw = Callable[
    [np.random.Generator, int], np.ndarray
]  # n instances -> differences against base, one an instance


def normal(gain: float, spread: float) -> Draw:
    """Differences of a candidate that is better by `gain`. Cut at +-1, symmetric about the gain: its mean
    stays."""
    room = 1.0 - abs(gain)
    return lambda rng, n: gain + np.clip(rng.normal(0.0, spread, n), -room, room)


def treacherous(rng: np.random.Generator, n: int) -> np.ndarray:
    """A little better nearly always, ruinous now and then; no better in the mean: a sign test would
    promote it."""
    return np.where(rng.random(n) < 0.95, 0.05, -0.95)


def answers(gain: float) -> Draw:
    """Right-or-wrong answers: 30 % of the instances change, and `gain` is what the right ones lead by."""
    return lambda rng, n: rng.choice([-1.0, 0.0, 1.0], n, p=[0.15 - gain / 2, 0.7, 0.15 + gain / 2])


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
            differences += candidate.arms[record.chosen](rng, count).tolist()
            record = confirmed(record, differences, alpha, gate.min_effect, gate.max_pairs, "")
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
    scores |= {arm: tuple(draw(rng, n).tolist()) for arm, draw in candidate.arms.items()}
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
    higher = peeked = 0
    for _ in range(runs):
        differences = [draw(rng, gate.max_pairs) for _ in range(generations)]
        higher += any(sample.mean() > 0 for sample in differences)
        peeked += any(_peeking_t(sample, gate) for sample in differences)
    return {"mean_is_higher": higher / runs, "t_test_peeked_at": peeked / runs}


def _peeking_t(sample: np.ndarray, gate: GateSection) -> bool:
    """A one-sided t-test at 2.5 %, looked at after every round."""
    ends = range(gate.round_instances, gate.max_pairs + 1, gate.round_instances)
    return any(t_interval(sample[:end].tolist(), -1.0, 1.0).low > 0 for end in ends)


def measure(runs: int, seed: int, gate: GateSection) -> dict[str, Any]:
    null = {
        "equal, sd 0.15": normal(0.0, 0.15),
        "equal, sd 0.4": normal(0.0, 0.4),
        "exactly the minimum effect, sd 0.3": normal(gate.min_effect, 0.3),
        "treacherous: +0.05 mostly, -0.95 at times": treacherous,
        "right or wrong answers, equal": answers(0.0),
    }
    false = {name: run_scenario(runs, seed, gate, 12, equal(draw)) for name, draw in null.items()}
    missed = {
        f"gain {gain}, sd {spread}": run_scenario(runs, seed, gate, 3, equal(normal(gain, spread), gain))
        for spread in (0.15, 0.3)
        for gain in (0.05, 0.1, 0.15, 0.2, 0.3)
    }
    return {
        "false_promotions": false,
        "true_gains": missed,
        "mixed_proposals": run_scenario(runs, seed, gate, 12, mixed),
        "naive_rules_on_equal_arms": naive_rules(runs, seed, gate, null["equal, sd 0.15"], 12),
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="ratchet bench gate", description=__doc__)
    parser.add_argument("--runs", type=int, default=300, help="simulated runs a scenario")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--task", help="with this task's settings of the gate instead of the common ones")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--out", type=Path, help="also write the JSON there")
    options = parser.parse_args(arguments)
    gate = resolve_config(options.task, None, [], None).gate if options.task else GateSection()
    started_s = time.monotonic()
    result = {
        "machine": describe_machine(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "gate": gate.model_dump(),
        "seed": options.seed,
        **measure(options.runs, options.seed, gate),
        "wall_s": round(time.monotonic() - started_s, 1),
    }
    text = json.dumps(result, indent=2)
    if options.out:
        options.out.write_text(text + "\n")
    print(text if options.json else table(result))
    return result


def table(result: dict[str, Any]) -> str:
    rows = result["false_promotions"] | result["true_gains"] | {"mixed proposals": result["mixed_proposals"]}
    lines = [f"{'':44} promoted/gen  false share  runs with a false one  pairs"]
    for name, row in rows.items():
        lines.append(
            f"{name:44} {row['promoted_per_generation']:12.3f} {row['false_share_of_promotions']:12.4f} "
            f"{row['runs_with_a_false_promotion']:22.4f} {row['mean_pairs']:6.1f}"
        )
    return "\n".join([*lines, f"simpler rules, equal arms: {result['naive_rules_on_equal_arms']}"])


if __name__ == "__main__":
    main()
