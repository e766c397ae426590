"""Tables on a pipe, where rich would take 80 columns."""

import subprocess
import sys

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
