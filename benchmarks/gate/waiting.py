"""What a run gains by letting confirmations wait that would most likely fail: simulated runs with TriMul's
settings and budget, whose updates add up until they are promoted, by the gate's own functions.

    python -m benchmarks.gate.waiting [--runs 400] [--json] [--out FILE]

A true gain is that of the adapter over the live release: it starts with a generation's first update, grows
with each, and is 0 after a promotion. What a run has gained is what was promoted.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks._report import add_options, report
from feedback_service.course.postponing import EVEN, MOST_IN_A_ROW
from ratchet.runs.request import resolve_config
from shared.config.settings import RunConfig
from shared.decisions.evidence.betting import generation_alpha
from shared.decisions.evidence.chance import chance
from shared.decisions.evidence.claims import CLAIMS, Terms
from shared.decisions.gate import futile
from shared.machine import machine_and_date
from shared.messages.evidence import GateRecord

SPREAD = 0.066  # of a pair's difference, as five TriMul runs of 2026-12-01 had it
BUDGET, GENERATIONS = 1000, 9  # evaluations, and the generations that such a run announces
GROWTHS = {  # what the first update gains over the live release, and each later one; half as much as spread
    "0.055 at first, 0.020 later": (0.055, 0.02),
    "0.075 at first, 0.020 later": (0.075, 0.02),
    "0.030 at first, 0.015 later": (0.03, 0.015),
    "0.080 at first, 0.040 later": (0.08, 0.04),
}


@dataclass
class Simulated:
    """One run under way."""

    config: RunConfig
    rng: np.random.Generator
    arms: int
    waits: bool
    spent: int = 0
    promotions: int = 0
    tests: int = 0
    waited: int = 0  # generations in a row, up to now
    gained: float = 0.0
    open_gain: float = 0.0  # of the adapter, not promoted

    def generation_cost(self, pairs: int) -> int:
        gate, rollouts = self.config.gate, self.config.rollouts
        train = rollouts.instances * rollouts.attempts
        return train + self.arms * gate.screen_instances + 2 * pairs

    def left(self) -> int:
        return BUDGET - self.spent - 2 * self.config.gate.test_instances

    def draw(self, count: int) -> list[float]:
        return list(self.open_gain + SPREAD * self.rng.standard_normal(count))


def simulate(run: Simulated, first: float, later: float) -> float:
    """The gain that the run has promoted at its end."""
    gate = run.config.gate
    for number in range(1, GENERATIONS + 1):
        if run.left() < run.generation_cost(gate.round_instances):
            break
        run.spent += run.generation_cost(0)
        growth = first if number == 1 else later
        run.open_gain += growth + growth / 2 * run.rng.standard_normal()
        screen = run.draw(gate.screen_instances)
        alpha = generation_alpha(gate.alpha, run.tests + 1, GENERATIONS, run.promotions)
        terms = Terms(alpha, gate.min_effect, 1.0, gate.max_pairs)
        if math.fsum(screen) <= 0:
            continue
        another = number < GENERATIONS and run.left() >= run.generation_cost(gate.max_pairs)
        if run.waits and another and run.waited < MOST_IN_A_ROW and chance(gate.test, screen, terms) < EVEN:
            run.waited += 1
            continue
        run.waited, run.tests = 0, run.tests + 1
        if confirm(run, terms):
            run.promotions, run.gained, run.open_gain = run.promotions + 1, run.gained + run.open_gain, 0.0
    return run.gained


def confirm(run: Simulated, terms: Terms) -> bool:
    """Rounds of fresh pairs until the test has passed, can't pass any more, or nothing is left."""
    gate, found = run.config.gate, list[float]()
    while True:
        pairs = min(gate.round_instances, terms.max_pairs - len(found))
        if pairs <= 0 or run.left() < 2 * pairs:
            return False
        run.spent += 2 * pairs
        found += run.draw(pairs)
        if CLAIMS[gate.test].look(found, terms).passed:
            return True
        record = GateRecord(
            chosen="weights",
            test=gate.test,
            differences=tuple(found),
            threshold=1 / terms.alpha,
            alpha=terms.alpha,
            min_effect=terms.min_effect,
            max_pairs=terms.max_pairs,
        )
        if futile(record):
            return False


def measure(runs: int, seed: int) -> dict[str, Any]:
    config = resolve_config("trimul", None, [], None)
    rows: dict[str, Any] = {}
    for name, (first, later) in GROWTHS.items():
        for arms in (2, 4):
            row: dict[str, Any] = {"runs": runs, "arms": arms}
            for way, waits in (("at once", False), ("waiting", True)):
                rng = np.random.default_rng(seed)
                gains = [simulate(Simulated(config, rng, arms, waits), first, later) for _ in range(runs)]
                row[way] = {"gain": float(np.mean(gains)), "error": float(np.std(gains) / math.sqrt(runs))}
            rows[f"{name}, {arms} arms"] = row
    return rows


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate.waiting", description=__doc__)
    parser.add_argument("--runs", type=int, default=400, help="simulated runs a row")
    parser.add_argument("--seed", type=int, default=0)
    add_options(parser)
    options = parser.parse_args(arguments)
    result = {**machine_and_date(), "budget": BUDGET, "rows": measure(options.runs, options.seed)}
    report(result, options, table)
    return result


def table(result: dict[str, Any]) -> str:
    lines = [f"gain that was promoted with {result['budget']} evaluations, simulated"]
    for name, row in result["rows"].items():
        cells = (f"{way} {row[way]['gain']:.4f} +- {row[way]['error']:.4f}" for way in ("at once", "waiting"))
        lines.append(f"{name:45} " + "  ".join(cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
