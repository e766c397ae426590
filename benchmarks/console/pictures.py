"""`python -m benchmarks.console.pictures FOLDER`: the console's pages as pictures, by a headless Chromium, of
invented runs: none, a running, a failed and a finished one, and one of 500 generations.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._listening import listening
from benchmarks.console.big_run import write_run
from ratchet.ui.app import make_app
from ratchet.ui.runs import Runs
from shared.messages import events as e

SIZE = "1000,800"
# No virtual time: it would wait for the end of a running run's stream of events.
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --hide-scrollbars --timeout=2000"


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        empty, root = Path(scratch) / "empty", Path(scratch) / "runs"
        empty.mkdir()
        draw(empty, {"empty": "/"}, folder)
        draw(root, written(root), folder)


def written(root: Path) -> dict[str, str]:
    """Writes the runs; the path of each picture's page."""
    write_run(root, "running", 3, 60, finished=False)
    failed = write_run(root, "failed", 2, 40, finished=False)
    write_run(root, "finished", 12, 480)
    write_run(root, "big", 500, 50_000)
    why = "the model endpoint was unreachable for 15 minutes"
    failed.open_ledger().submit([e.RunFinished(run_id="failed", state="failed", why=why)])
    history = Runs(root).view("finished").history
    shard = history.all[12].rollouts[("screen", 0)].results[0]
    promoted = history.promotions[-1].number if history.promotions else 12
    return {
        "runs": "/",
        **{name: f"/runs/{name}" for name in ("running", "failed", "finished", "big")},
        "generation": f"/runs/finished/generations/{promoted}",
        "attempts": "/runs/finished/generations/12/screen",
        "attempt": f"/runs/finished/attempts/{shard}/0",
        "lineage": f"/runs/finished/lineage?second={promoted}",
    }


def draw(root: Path, paths: dict[str, str], folder: Path) -> None:
    with listening(make_app(root)) as address, tempfile.TemporaryDirectory() as profile:
        for name, path in paths.items():
            command = ["chromium", *FLAGS.split(), f"--user-data-dir={profile}", f"--window-size={SIZE}"]
            command += [f"--screenshot={folder / name}.png", f"{address}{path}"]
            subprocess.run(command, check=True, capture_output=True, timeout=90)
            if not (folder / f"{name}.png").exists():
                raise RuntimeError(f"chromium drew no picture of {path}")
            print(folder / f"{name}.png")


if __name__ == "__main__":
    main()
