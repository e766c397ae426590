"""`ratchet bench` lists its benchmarks, and each one's --help is its own."""

import subprocess
import sys
import time

import psutil
import pytest
from typer.testing import CliRunner

from ratchet.cli import bench
from ratchet.cli.main import app


def test_without_a_name_every_benchmark_is_listed_with_a_sentence() -> None:
    shown = CliRunner().invoke(app, ["bench", "--help"])

    assert shown.exit_code == 0
    assert "bench [OPTIONS]" in shown.output
    listed = bench.listing()
    assert {"gate", "trimul", "arms"} <= set(listed)
    assert [
        name for name, what in listed.items() if not what or f"{name:12} {what}" not in shown.output
    ] == []


def test_help_after_a_name_is_the_benchmarks_own(capfd: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(app, ["bench", "gate", "--help"])

    assert done.exit_code == 0
    assert "usage: ratchet bench gate" in capfd.readouterr().out


def test_a_benchmark_ends_with_its_command() -> None:
    command = psutil.Popen(
        [sys.executable, "-m", "ratchet.cli.main", "bench", "gate"], stdout=subprocess.DEVNULL
    )
    deadline_s = time.monotonic() + 30
    while not command.children() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    (program,) = command.children()
    command.terminate()
    command.wait(10)
    program.wait(20)  # raises TimeoutExpired where it runs on
