"""`ratchet bench intents --data FILE --dev FILE`: whole runs on a file of labelled queries, one a seed, and
each run's last release taken apart on another such file: four arms, and baselines on the same labelled cases.

    ratchet bench intents --data train.jsonl --dev dev.jsonl [--per-label 10] [--seeds 0,1,2] [--cases 0]
        [--set KEY=VALUE ...] [--root runs] [--out FILE.json]

--cases takes so many queries of the dev file, the same ones for every seed; 0: all. A run that is there
already is continued, or only read. Over several seeds a query's difference is its mean over the seeds, and
intervals are over queries: they do not show how seeds differ; the rows beside them do.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.arms import Measured, Scores, measured, paired
from ratchet.runs.folder import RunFolder, find
from shared.children import end_with_parent
from shared.decisions.intervals import t_interval
from shared.ledger.history.folding import fold
from shared.machine import machine_and_date
from shared.messages.records import JsonObject

RATCHET = [sys.executable, "-m", "ratchet.cli.main"]
BASELINE = "linear SVM"


def main(arguments: list[str]) -> JsonObject:
    asked = _parser().parse_args(arguments)
    sets = [f"data.per_label={asked.per_label}", *asked.set]
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        dev = taken(asked.dev, asked.cases, Path(folder))
        runs = [run_seed(asked.data, seed, asked.per_label, sets, asked.root) for seed in seeds]
        seen = []
        for run in runs:
            history = fold(run.open_ledger().events(run.run_id))
            seen.append(measured(run, history, dev, asked.root))
    result = {
        **machine_and_date(),
        "per_label": asked.per_label,
        "settings": asked.set,
        "dev_queries": len(next(iter(seen[0].scores.values()))),
        "runs": [row(run, found) for run, found in zip(runs, seen, strict=True)],
        "all_seeds": together(seen),
    }
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ratchet bench intents", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--per-label", type=int, default=10)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--cases", type=int, default=0)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--root", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true", help="accepted for likeness: JSON is all it prints")
    return parser


def taken(path: Path, count: int, folder: Path) -> Path:
    """A file with `count` of the queries, drawn once and for all."""
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    if count == 0 or count >= len(lines):
        return path
    part = folder / path.name
    part.write_text("".join(f"{line}\n" for line in random.Random(0).sample(lines, count)), encoding="utf-8")
    return part


def run_seed(data: Path, seed: int, per_label: int, sets: Sequence[str], root: Path) -> RunFolder:
    """The finished run of that seed: made, continued, or found."""
    name = f"intents-{per_label}-seed{seed}"
    words = ["resume", name]
    if not (root / name / "ledger.sqlite").exists():
        words = ["run", "intents", "--data", str(data), "--name", name]
        for setting in (*sets, f"run.seed={seed}"):
            words += ["--set", setting]
    command = [*RATCHET, *words, "--root", str(root)]
    subprocess.run(command, stdout=sys.stderr, check=True, preexec_fn=end_with_parent)
    return find(name, root)


def row(run: RunFolder, found: Measured) -> JsonObject:
    history = fold(run.open_ledger().events(run.run_id))
    scores, bounds = found.scores, found.bounds
    return {
        "run": run.run_id,
        "seed": run.config().run.seed,
        "promoted": [[g.number, g.arm] for g in history.promotions],
        "wall_s": round(history.elapsed_s),
        "arms": {
            arm: {key: part[key] for key in ("mean", "low", "high", "n")} for arm, part in found.arms.items()
        },
        "baselines": {name: round(mean(plain), 4) for name, plain in found.baselines.items()},
        "against_base": {arm: paired(scores[arm], scores["base"], bounds) for arm in list(scores)[1:]},
    }


def mean(scores: Scores) -> float:
    return sum(scores.values()) / len(scores)


def together(seen: Sequence[Measured]) -> JsonObject:
    """Each comparison over all seeds. An arm that a run's last release does not have is the base there: a
    lever that was never promoted has brought nothing."""
    scores = [arms_of(found) for found in seen]
    pairs = [
        ("harness", "base"), ("weights", "base"), ("both", "base"),
        ("both", "harness"), ("both", "weights"), ("both", BASELINE),
    ]  # fmt: skip
    compared = {
        f"{mine} - {its}": difference([found[mine] for found in scores], [found[its] for found in scores])
        for mine, its in pairs
    }
    names = ("base", "harness", "weights", "both", BASELINE)
    return {
        "means": {name: round(sum(mean(found[name]) for found in scores) / len(scores), 4) for name in names},
        "differences": compared,
    }


def arms_of(found: Measured) -> dict[str, Scores]:
    base = found.scores["base"]
    arms = {arm: found.scores.get(arm, base) for arm in ("base", "harness", "weights", "both")}
    return arms | {BASELINE: found.baselines[BASELINE]}


def difference(mine: Sequence[Mapping[str, float]], its: Sequence[Mapping[str, float]]) -> JsonObject:
    """Mean over the seeds for every query that all of them scored, then the interval over queries."""
    common = set.intersection(*(set(scores) for scores in (*mine, *its)))
    pairs = list(zip(mine, its, strict=True))
    means = [sum(a[name] - b[name] for a, b in pairs) / len(pairs) for name in sorted(common)]
    return t_interval(means, float("-inf"), float("inf")).model_dump(mode="json")


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
