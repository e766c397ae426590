"""`ratchet bench jobs`: both sides do the same chains of jobs; growth is the slope of seconds over jobs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.jobs.growth import growth


def test_growth_runs_every_size_to_its_end_and_fits_a_slope() -> None:
    said: list[str] = []
    found = growth("sqlite", [10, 20, 40], said.append)
    assert list(found["seconds"]) == [10, 20, 40]
    assert isinstance(found["slope"], float)
    assert len(said) == 3


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_both_sides_end_and_their_rates_are_compared(tmp_path: Path) -> None:
    out = tmp_path / "jobs.json"
    command = [str(Path(sys.executable).with_name("ratchet")), "bench", "jobs", "--quick", "--json"]
    options = ["--databases", "sqlite", "--processes", "1", "--out", str(out)]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [row] = json.loads(out.read_text())["rows"]
    assert row["vs_celery"] == pytest.approx(row["jobs_per_s"] / row["celery_jobs_per_s"], abs=0.01)
    assert len(row["rounds"]["ours"]) == len(row["rounds"]["bare"]) == 2
    assert row["commit_to_handler_ms"]["idle"]["p50"] > 0
