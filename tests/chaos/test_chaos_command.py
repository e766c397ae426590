"""`ratchet chaos` on a small scale: rows by name, faults without a loss, a control that finds losses."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

RATCHET = str(Path(sys.executable).with_name("ratchet"))


def chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RATCHET, "chaos", *arguments], capture_output=True, text=True, timeout=280)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_random_faults_lose_nothing_and_without_the_reconciler_losses_are_found() -> None:
    done = chaos("--no-rows", "--jobs", "200", "--faults", "20", "--database", "sqlite", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    found = report["random"]
    assert [found[name] for name in ("done", "lost", "double", "stuck", "dead")] == [200, 0, 0, 0, 0]
    assert found["faults"] >= 20
    assert report["control"]["lost"] > 0
    assert "200 of 200" in done.stderr or "200 jobs" in done.stderr  # says how far it is


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_row_by_its_name() -> None:
    done = chaos("--only", "F5", "--jobs", "0", "--database", "sqlite", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    [row] = report["rows"]
    assert row["ok"]
    assert report["machine"]
    assert report["date"] == datetime.now(UTC).date().isoformat()
    assert "1 late commit was refused" in row["seen"]


def test_a_row_that_is_not_there_is_a_mistake_with_a_hint() -> None:
    done = chaos("--only", "F999", "--jobs", "0")
    assert done.returncode == 2
    assert "F5 a worker frozen past its lease" in done.stderr
