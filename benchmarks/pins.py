"""`ratchet bench pins`: whether what the offline analyst reads off one run's replies holds in others.

    ratchet bench pins --study FOLDER        of `ratchet compare`, with two seeds or more

From the replies of each run's first generation, each field that the harness can pin is given its best value,
as the analyst does (feedback_service/propose/effects.py). That value's gain is then measured on the first
generations of all runs with other seeds. Grouped by how many standard errors the analyst had seen.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks._report import add_options, report
from feedback_service.propose.diagnosis import Scored
from feedback_service.propose.effects import Effect, best, by_field, value_effects
from feedback_service.propose.moves import PIN
from ratchet.reports.trace import read_attempts
from ratchet.runs.folder import RunFolder
from ratchet.runs.request import resolve_config
from shared.harness.bundle import load_harness
from shared.machine import machine_and_date
from shared.store.store import read_folder
from shared.tasks.task import load_task

EDGES = (-math.inf, 0.5, 1.0, 1.5, 2.0, math.inf)  # standard errors


def replies_of(run: Path) -> list[Scored]:
    """Of the first generation's train attempts; failed ones count 0."""
    states = [found.state for found in read_attempts(RunFolder(run), 1, "train")]
    return [
        Scored(
            state.plan.instance,
            state.answer.content,
            state.answer.content,
            state.final.score if state.final.outcome == "ok" else 0.0,
            state.final.outcome,
        )
        for state in states
        if state.final and state.answer is not None
    ]


def looked_up(
    mine: Sequence[Scored], others: Sequence[Sequence[Scored]], fields: set[str]
) -> list[dict[str, float]]:
    """For each field that can be pinned: how many standard errors the analyst saw, the gain that it saw for
    its best value, and what that value gains in the other runs."""
    elsewhere = {(effect.field, effect.value): effect.gain for effect in value_effects(others)}
    found = []
    for field, effects in by_field(value_effects([mine])).items():
        top: Effect = best(effects)
        if field in fields and (field, top.value) in elsewhere:
            gain = elsewhere[(field, top.value)]
            found.append({"errors": top.gain / top.error, "seen": top.gain, "elsewhere": gain})
    return found


def measure(study: Path, task: str) -> list[dict[str, Any]]:
    harness = load_harness(
        read_folder(load_task(resolve_config(task, None, [], None).run.task).folder / "harness")
    )
    fields = {name.removeprefix(PIN) for name in harness.knobs if name.startswith(PIN)}
    runs = {path: replies_of(path) for path in sorted(study.glob("*-seed*")) if path.is_dir()}
    rows: list[dict[str, float]] = []
    for path, mine in runs.items():
        others = [replies for other, replies in runs.items() if _seed(other) != _seed(path)]
        rows += looked_up(mine, others, fields)
    return [_group(rows, low, high) for low, high in pairwise(EDGES)]


def _seed(run: Path) -> str:
    return run.name.rpartition("-seed")[2]


def _group(rows: Sequence[dict[str, float]], low: float, high: float) -> dict[str, Any]:
    part = [row for row in rows if low <= row["errors"] < high]
    gains = [row["elsewhere"] for row in part]
    return {
        "errors": f"{low:g} to {high:g}",
        "values": len(part),
        "seen": fmean(row["seen"] for row in part) if part else None,
        "elsewhere": fmean(gains) if part else None,
        "spread": stdev(gains) if len(part) > 1 else None,
        "losing": sum(gain < 0 for gain in gains),
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="ratchet bench pins", description=__doc__)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--task", default="trimul")
    add_options(parser)
    options = parser.parse_args(arguments)
    result = {**machine_and_date(), "task": options.task, "groups": measure(options.study, options.task)}
    report(result, options, table)
    return result


def table(result: dict[str, Any]) -> str:
    lines = ["standard errors that the analyst saw; values; gain seen; gain in runs with other seeds; losing"]
    for row in result["groups"]:
        seen, elsewhere = (f"{row[name]:+.4f}" if row["values"] else "-" for name in ("seen", "elsewhere"))
        lines.append(f"{row['errors']:>12} {row['values']:4} {seen:>8} {elsewhere:>8} {row['losing']:3}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
