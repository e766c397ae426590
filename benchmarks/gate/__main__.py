"""`ratchet bench gate`: how often the gate promotes what is no better, and misses what is. Each test on
differences of stated laws, looked at after every pair; then whole simulated runs through the same functions
that decide real ones. The evidence is checked against scipy's densities.

ratchet bench gate --json --out benchmarks/results/gate.json
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from scipy import stats

from benchmarks._report import add_options, report
from benchmarks.gate import simulated
from benchmarks.gate.worlds import ANSWERS, GAINS, NO_GAIN, NO_WORSE, Array, Draw, normal, worse_by
from ratchet.runs.request import resolve_config
from shared.config.settings import GateSection
from shared.decisions.evidence.betting import STAKES, generation_alpha
from shared.decisions.evidence.discordant import outcome, walk
from shared.decisions.evidence.graded import passed_in
from shared.decisions.evidence.t_evidence import EFFECTS, log_t_evidence
from shared.machine import machine_and_date

BY_LOT = {f"{name} (no minimum effect)": NO_GAIN[name] for name in ("right or wrong", "heavy tails")}
MARGINS = ((0.05, 96), (0.1, 48))  # of an arm with less prompt text, with the pairs that it takes
GENERATIONS = 3  # of the run whose first test is measured: 1/alpha = 36.7 at the usual settings


def by_pair(test: str, differences: Array, alpha: float, min_effect: float) -> Array:
    """Which runs have passed by each pair."""
    if test == "graded":
        return passed_in(differences, alpha, min_effect)
    if test == "right_or_wrong":
        draw_lots = np.vectorize(lambda pair, share: outcome(int(pair), share, min_effect))
        return walk(draw_lots(np.arange(differences.shape[1]), differences), alpha, differences.shape[1])[1]
    gains = (differences - min_effect) / (1 + min_effect)
    logs = [np.log(part) + np.log1p(stake * gains.clip(-1)).cumsum(1) for stake, part in STAKES]
    return np.logical_or.accumulate(np.logaddexp.reduce(np.stack(logs), axis=0) >= -np.log(alpha), axis=1)


def shares(
    laws: dict[str, Draw], tests: list[str], runs: int, seed: int, gate: GateSection, alpha: float
) -> dict[str, Any]:
    """For each law and test the share of runs that promote at some look, with its standard error."""
    rows: dict[str, Any] = {}
    for name, draw in laws.items():
        differences = draw(np.random.default_rng(seed), runs, gate.max_pairs)
        row: dict[str, Any] = {"runs": runs}
        for test in tests:
            passed = by_pair(test, differences, alpha, gate.min_effect)
            share = float(passed[:, -1].mean())
            first = np.where(passed[:, -1], passed.argmax(1) + 1, gate.max_pairs)
            row[test] = {
                "promoted": share,
                "error": float(np.sqrt(share * (1 - share) / runs)),
                "mean_pairs": float(first.mean()),
            }
        rows[name] = row
    return rows


def no_worse(runs: int, seed: int, gate: GateSection, alpha: float) -> dict[str, Any]:
    """An arm with less prompt text: how often it is promoted where it is worse by exactly the margin, and
    where it is equal."""
    rows: dict[str, Any] = {}
    for margin, pairs in MARGINS:
        claimed = gate.model_copy(update={"min_effect": -margin, "max_pairs": pairs})
        laws = {"worse_by_the_margin": worse_by(margin), "equal": NO_WORSE}
        rows[f"margin {margin}, {pairs} pairs"] = {
            name: shares(draws, ["graded", "right_or_wrong"], runs, seed, claimed, alpha)
            for name, draws in laws.items()
        }
    return rows


def beside_mcnemar(runs: int, seed: int, pairs: int, alpha: float) -> dict[str, Any]:
    """Right-or-wrong scores: our test, looked at after every pair, and McNemar's exact one, once at the
    end."""
    rows = {}
    for name, draw in ANSWERS.items():
        differences = draw(np.random.default_rng(seed), runs, pairs)
        won, lost = (differences > 0).sum(1), (differences < 0).sum(1)
        mcnemar = stats.binom.sf(won - 1, won + lost, 0.5) <= alpha
        ours = by_pair("right_or_wrong", differences, alpha, 0.0)[:, -1]
        rows[name] = {"runs": runs, "right_or_wrong": float(ours.mean()), "mcnemar": float(mcnemar.mean())}
    return rows


def beside_scipy(seed: int, pairs: int) -> dict[str, float]:
    """The largest gap between our log e-values and those of scipy's noncentral t, from 4 pairs on."""
    differences = normal(0.05, 0.1)(np.random.default_rng(seed), 20, pairs)
    counts = np.arange(4, pairs + 1)
    ours = log_t_evidence(differences, 0.0)[:, 3:]
    means = differences.cumsum(1)[:, 3:] / counts
    spreads = np.stack([differences[:, :n].std(axis=1, ddof=1) for n in counts], axis=1)
    t = means / spreads * np.sqrt(counts)
    ratios = [stats.nct.pdf(t, counts - 1, np.sqrt(counts) * effect) for effect in EFFECTS]
    theirs = np.log(np.mean(ratios, axis=0) / stats.t.pdf(t, counts - 1))
    return {"largest_gap_in_log_e": float(np.abs(ours - theirs).max())}


def ceiling(gain: float, spread: float, pairs: int, alpha: float, min_effect: float) -> float:
    """The power that no test can exceed if it is to hold for every law in the bounds, at this gain.

    Neyman & Pearson against the nearest law without a gain (the reverse information projection: the same
    differences weighted by 1 / (1 + s (d - min_effect)), and the rest of the mass at -1), s = 1 / (1 +
    min_effect).
    """
    runs = 100_000
    rng, logs = np.random.default_rng(1), np.zeros(runs)
    for _ in range(pairs):
        differences = normal(gain, spread)(rng, runs, 1)[:, 0]
        logs += np.log1p((differences - min_effect) / (1 + min_effect))
    logs = np.sort(logs)[::-1]
    level = np.exp(-logs).cumsum() / runs  # of rejecting for this share of the highest ratios
    return float(np.searchsorted(level, alpha) / runs)


def measure(runs: int, whole_runs: int, seed: int, gate: GateSection) -> dict[str, Any]:
    alpha = generation_alpha(gate.alpha, 1, GENERATIONS, 0)
    tests, above_zero = ["graded", "betting"], gate.model_copy(update={"min_effect": 0.0})
    terms = {"alpha": alpha, "threshold": 1 / alpha, "pairs": gate.max_pairs}
    return terms | {
        "no_gain": shares(NO_GAIN, tests, runs, seed, gate, alpha)
        | shares(BY_LOT, ["right_or_wrong"], runs, seed, above_zero, alpha),
        "gains": shares(GAINS, tests, runs, seed, gate, alpha),
        "no_worse": no_worse(runs, seed, gate, alpha),
        "right_or_wrong_beside_mcnemar": beside_mcnemar(runs, seed, gate.max_pairs, alpha),
        "ceiling_for_tests_that_assume_nothing": {
            f"gain {gain}, spread {spread}, against a mean of {least}": ceiling(
                gain, spread, gate.max_pairs, alpha, least
            )
            for gain, spread in ((0.076, 0.1), (0.1, 0.15))
            for least in (gate.min_effect, 0.0)
        },
        "against_scipy": beside_scipy(seed, gate.max_pairs),
        "whole_runs": simulated.measure(whole_runs, seed, gate),
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="ratchet bench gate", description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000, help="simulated confirmations a law")
    parser.add_argument("--whole-runs", type=int, default=60, help="simulated runs a scenario")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--task", default="trimul", help="whose settings of the gate")
    parser.add_argument("--pairs", type=int, help="in the place of that task's max_pairs")
    add_options(parser)
    options = parser.parse_args(arguments)
    gate = resolve_config(options.task, None, [], None).gate
    gate = gate.model_copy(update={"max_pairs": options.pairs or gate.max_pairs})
    started_s = time.monotonic()
    result = {
        **machine_and_date(),
        "gate": gate.model_dump(),
        "seed": options.seed,
        **measure(options.runs, options.whole_runs, options.seed, gate),
        "wall_s": round(time.monotonic() - started_s, 1),
    }
    report(result, options, table)
    return result


def table(result: dict[str, Any]) -> str:
    lines = [f"promoted within {result['pairs']} pairs, looked at after each; alpha {result['alpha']:.4f}"]
    lines += [_row(name, row) for name, row in (result["no_gain"] | result["gains"]).items()]
    for margin, parts in result["no_worse"].items():
        lines.append(f"less prompt text, {margin}:")
        for part, rows in parts.items():
            lines += [_row(f"  {part.replace('_', ' ')}: {name}", row) for name, row in rows.items()]
    for name, row in result["right_or_wrong_beside_mcnemar"].items():
        lines.append(f"{name:62} right_or_wrong {row['right_or_wrong']:.4f}  McNemar {row['mcnemar']:.4f}")
    for part in ("ceiling_for_tests_that_assume_nothing", "against_scipy"):
        lines += [f"{name:62} {value:.4g}" for name, value in result[part].items()]
    return "\n".join([*lines, *simulated.table(result["whole_runs"])])


def _row(name: str, row: dict[str, Any]) -> str:
    cells = (f"{test} {found['promoted']:.4f} (after {found['mean_pairs']:.0f})"
             for test, found in row.items() if test != "runs")  # fmt: skip
    return f"{name:62} " + "  ".join(cells)


if __name__ == "__main__":
    main()
