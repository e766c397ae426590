"""`ratchet bench arms RUN FILE...`: a run's last release taken apart. Its first release, the last one's
harness alone, its adapter alone, and both, on the same instances of each file, with paired differences; and
the task's baselines beside them.

    python -m benchmarks.arms RUN FILE... [--root runs] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ratchet.runs.evaluate import parts_beside, score
from ratchet.runs.folder import RunFolder, find
from ratchet.tasks import task_data
from shared.decisions.intervals import metric_intervals, t_interval
from shared.errors import SettingsError
from shared.ledger.history.folding import fold
from shared.ledger.history.state import RunHistory
from shared.machine import machine_and_date
from shared.messages.records import JsonObject, Release
from shared.tasks.task import ScoreSection, load_task

Scores = dict[str, float]  # by instance


def main(arguments: list[str]) -> JsonObject:
    parser = argparse.ArgumentParser(prog="ratchet bench arms", description=__doc__)
    parser.add_argument("run")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--root", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true", help="accepted for likeness: JSON is all it prints")
    asked = parser.parse_args(arguments)
    folder = find(asked.run, asked.root)
    history = fold(folder.open_ledger().events(folder.run_id))
    result = {
        **machine_and_date(),
        "run": folder.run_id,
        "promoted": [[g.number, g.arm] for g in history.promotions],
        "wall_s": round(history.elapsed_s),
        "files": {path.name: measure(folder, history, path, asked.root) for path in asked.files},
    }
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return result


def parts(history: RunHistory) -> dict[str, Release]:
    """The arms, of which those that are the same release stand once. Raises SettingsError for a young run."""
    first, last = history.first, history.release
    if first is None or last is None:
        raise SettingsError(f"run {history.run_id} has no release yet", "wait for its base model")
    arms = {
        "base": first,
        "harness": first.model_copy(update={"harness": last.harness}),
        "weights": first.model_copy(update={"adapter": last.adapter}),
        "both": last,
    }
    return {arm: release for arm, release in arms.items() if arm == "base" or release != first}


@dataclass(frozen=True)
class Measured:
    """A run's arms on the instances of one file. `scores` by arm, and by baseline, then by instance."""

    arms: JsonObject
    scores: dict[str, Scores]
    baselines: dict[str, Scores]
    baseline_metrics: JsonObject
    bounds: ScoreSection


def measured(folder: RunFolder, history: RunHistory, path: Path, root: Path) -> Measured:
    """Arms that are the same release are measured once."""
    own, known = load_task(folder.config().run.task), {}
    found, scores, rows = {}, {}, []
    for arm, release in parts(history).items():
        if release.digest not in known:
            known[release.digest] = score(
                own, folder.config(), parts_beside(folder), release, path, root, folder
            )
        made, result = known[release.digest]
        rows = result["instances"]
        scores[arm] = {row["id"]: row["score"] for row in rows if row["score"] is not None}
        found[arm] = {key: result[key] for key in ("mean", "low", "high", "n", "metrics", "lost")}
        bound_task = load_task(made.config().run.task)
    beside = task_data.baselines(bound_task, [row["instance"] for row in rows])
    names = [row["id"] for row in rows]
    return Measured(
        arms=found,
        scores=scores,
        baselines={
            name: dict(zip(names, (line["score"] for line in lines), strict=True))
            for name, lines in beside.items()
        },
        baseline_metrics={
            name: metric_intervals([line["metrics"] for line in lines]) for name, lines in beside.items()
        },
        bounds=own.manifest.score,
    )


def measure(folder: RunFolder, history: RunHistory, path: Path, root: Path) -> JsonObject:
    seen = measured(folder, history, path, root)
    scores, bounds, last = seen.scores, seen.bounds, list(seen.scores)[-1]
    return {
        "arms": seen.arms,
        "against_base": {arm: paired(scores[arm], scores["base"], bounds) for arm in list(scores)[1:]},
        f"{last}_against_arms": {
            arm: paired(scores[last], scores[arm], bounds) for arm in list(scores)[1:-1]
        },
        "baselines": {
            name: {
                "score": t_interval(list(plain.values()), bounds.low, bounds.high).model_dump(mode="json"),
                "metrics": seen.baseline_metrics[name],
            }
            for name, plain in seen.baselines.items()
        },
        f"{last}_against_baselines": {
            name: paired(scores[last], plain, bounds) for name, plain in seen.baselines.items()
        },
    }


def paired(mine: Mapping[str, float], its: Mapping[str, float], bounds: ScoreSection) -> JsonObject:
    """The difference over the instances that both have."""
    differences: Sequence[float] = [mine[name] - its[name] for name in mine if name in its]
    width = bounds.high - bounds.low
    return t_interval(differences, -width, width).model_dump(mode="json")


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1, ensure_ascii=False))
