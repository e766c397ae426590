"""`ratchet bench learning`: whether the last release beats the first on the sealed split. One whole run a
seed.

    python -m benchmarks.learning [--task trimul] [--seeds 0,1,2,3,4] [--levers both] [--root runs]
    python -m benchmarks.learning RUN... [--out FILE]      reads runs that are there already

A run that is there already is continued, or only read; so the benchmark itself can be killed and resumed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from ratchet.reports.show import show_run
from ratchet.runs.folder import RunFolder, find
from shared.children import end_with_parent
from shared.machine import machine_and_date
from shared.messages.records import JsonObject

RATCHET = [sys.executable, "-m", "ratchet.cli.main"]


def main(arguments: list[str]) -> JsonObject:
    parser = argparse.ArgumentParser(prog="ratchet bench learning", description=__doc__)
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--task", default="trimul")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--levers", default="both")
    parser.add_argument("--root", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true", help="accepted for likeness: JSON is all it prints")
    asked = parser.parse_args(arguments)
    folders = [find(run, asked.root) for run in asked.runs] or [
        run_seed(asked.task, int(seed), asked.levers, asked.root) for seed in asked.seeds.split(",")
    ]
    rows = [outcome(folder) for folder in folders]
    result = {
        **machine_and_date(),
        "runs": rows,
        "better": sum(1 for row in rows if row["gain"] and row["gain"]["low"] > 0),
    }
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


def run_seed(task: str, seed: int, levers: str, root: Path) -> RunFolder:
    """The finished run of that seed: made, continued, or found."""
    name = f"{task}-{levers}-seed{seed}"
    folder = RunFolder((root / name).resolve())
    words = ["resume", name] if (folder.path / "ledger.sqlite").exists() else None
    words = words or ["run", task, "--name", name, "--levers", levers, "--set", f"run.seed={seed}"]
    command = [*RATCHET, *words, "--root", str(root)]
    subprocess.run(command, stdout=sys.stderr, check=True, preexec_fn=end_with_parent)
    return folder


def outcome(folder: RunFolder) -> JsonObject:
    """The result of a run: promotions, and the sealed test. `gain` is null where the first release stayed."""
    shown = show_run(folder)
    test = shown["final"]["test"] or {}
    return {
        "run": shown["run"],
        "task": shown["task"],
        "seed": folder.config().run.seed,
        "levers": folder.config().run.levers,
        "promoted": [g["generation"] for g in shown["generations"] if g["gate"]["decision"] == "promoted"],
        "arms": [
            {arm: found["mean"] if found else None for arm, found in g["arms"].items()}
            for g in shown["generations"]
        ],
        "first": test.get("first"),
        "last": test.get("last"),
        "gain": test.get("gain"),
        "wall_s": round(shown["wall_s"]),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=2))
