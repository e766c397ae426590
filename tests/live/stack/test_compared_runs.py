"""`ratchet compare` on whole runs with both levers: interrupted, continued, paired, and not done twice."""

import json
import signal
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path

import pytest

from ratchet.runs.folder import find, names
from ratchet.tasks import new_task
from shared.messages import events as e

RATCHET = str(Path(sys.executable).with_name("ratchet"))
TINY_SEED = {"lines = 2000": "lines = 200", "steps = 120": "steps = 20", "hidden = 64": "hidden = 32"}
SMALL = (
    "rollouts.instances=6",
    "gate.screen_instances=2",
    "gate.round_instances=2",
    "gate.max_pairs=4",
    "gate.test_instances=4",
    "training.steps=12",
)
COMMAND = [
    *(RATCHET, "compare", "words", "--arms", "base,harness,weights,both", "--seeds", "1"),
    *("--budget", "60", "--name", "cmp", "--json"),
    *(word for setting in SMALL for word in ("--set", setting)),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_interrupted_comparison_continues_and_every_arm_is_paired_with_every_other(tmp_path: Path) -> None:
    new_task.create(tmp_path / "words")
    manifest = tmp_path / "words" / "task.toml"
    text = manifest.read_text(encoding="utf-8")
    for old, new in TINY_SEED.items():
        assert old in text
        text = text.replace(old, new)
    manifest.write_text(text, encoding="utf-8")
    root = tmp_path / "runs" / "cmp"

    first = subprocess.Popen(COMMAND, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (names(root) and _scored(root, names(root)[0])):
        assert first.poll() is None
        time.sleep(0.5)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) != 0

    found = _compared(tmp_path)
    assert {row["arm"] for row in found["runs"]} == {"harness", "weights", "both"}
    pairs = {frozenset((row["arm"], row["minus"])) for row in found["pairs"]}
    assert pairs == {frozenset(pair) for pair in combinations(("base", "harness", "weights", "both"), 2)}
    assert all(row["cost"]["evaluations"] <= 60 for row in found["runs"])
    assert {path.name for path in root.glob("*.png")} == {"sealed.png", "candidates.png"}
    assert _compared(tmp_path)["runs"] == found["runs"]
    for name in names(root):
        run = find(name, root)
        ends = [row for row in run.open_ledger().events(run.run_id) if isinstance(row.event, e.RunFinished)]
        assert len(ends) == 1


def _scored(root: Path, name: str) -> bool:
    run = find(name, root)
    return any(isinstance(row.event, e.CandidatesScored) for row in run.open_ledger().events(run.run_id))


def _compared(place: Path) -> dict[str, list[dict]]:
    done = subprocess.run(COMMAND, cwd=place, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
