"""What `ratchet show` prints: also on a pipe, where rich would take 80 columns."""

import subprocess
import sys
from typing import Any

import pytest

from ratchet.cli.tables import print_generation
from ratchet.reports.formats import NO_SCREEN, unmeasured_texts

PRINT = """
from ratchet.cli.tables import print_run
interval = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 4}
generation = {
    "generation": 1,
    "arms": dict.fromkeys(("base", "harness", "weights", "both"), interval),
    "gate": {"decision": "promoted", "why": "harness against base"},
    "proposals": {"harness": None, "weights": None},
    "cost": {"prompt_tokens": 0, "completion_tokens": 0, "estimated_tokens": 0, "usd": 0.0, "evaluations": 0},
    "endings": {},
    "arm_reasons": {},
}
print_run({"run": "r", "task": "t", "state": "done", "generations": [generation], "final": {"test": None}})
"""
COMPARE = """
from ratchet.cli.tables import print_comparison
gain = {"mean": 0.25, "low": 0.125, "high": 0.375, "n": 3}
print_comparison({
    "runs": [],
    "arms": {
        "base": {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 3},
        "both": {"mean": 0.75, "low": None, "n": 1},
    },
    "pairs": [{"arm": "both", "minus": "base", "difference": gain, "p": 0.01, "p_holm": 0.02}],
})
"""


def printed(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_a_comparison_prints_what_each_arm_scored_with_its_interval() -> None:
    lines = printed(COMPARE)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert ["base", "0.500 [0.250, 0.750]", "3"] in rows
    assert ["both", "0.750", "1"] in rows
    assert ["both minus base", "+0.250 [+0.125, +0.375]", "0.01", "0.02"] in rows


def test_a_row_of_intervals_stays_on_one_line_in_a_file() -> None:
    row = next(line for line in printed(PRINT) if line.startswith("│ 1 "))
    assert row.count("0.500 [0.250, 0.750]") == 4
    assert "promoted" in row


def generation(**changed: Any) -> dict[str, Any]:
    cost = {"prompt_tokens": 0, "completion_tokens": 0, "estimated_tokens": 0, "usd": 0.0, "evaluations": 0}
    return {
        "generation": 1,
        "gate": {"decision": "promoted", "why": "harness against base"},
        "proposals": {"harness": None, "weights": None},
        "cost": cost,
        "endings": {},
        "arm_reasons": {},
    } | changed


def test_a_generation_says_why_an_arm_was_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    why = "the policy diverged: 74 nats a token from the base"
    print_generation(generation(arm_reasons={"weights": why, "both": f"weights: {why}"}))
    printed = capsys.readouterr().out
    assert f"  weights was not measured: {why}\n" in printed
    assert printed.count(why) == 1


def test_a_generation_says_how_its_training_went(capsys: pytest.CaptureFixture[str]) -> None:
    curves = {"loss": [2.0, 1.5, 1.25], "reward": [0.1, 0.2, 0.4]}
    weights = {"reason": "grpo: four replies a group", "curves": curves}
    print_generation(generation(proposals={"harness": None, "weights": weights}))
    assert "  trained 3 steps: loss 2 to 1.25, reward 0.1 to 0.4\n" in capsys.readouterr().out


def test_of_a_generation_without_a_screen_no_arm_gets_a_line_of_its_own() -> None:
    assert unmeasured_texts({"harness": NO_SCREEN, "weights": "not proposed", "both": NO_SCREEN}) == [
        "weights was not measured: not proposed"
    ]
