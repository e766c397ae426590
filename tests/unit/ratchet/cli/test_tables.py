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


def test_a_row_of_intervals_stays_on_one_line_in_a_file() -> None:
    printed = subprocess.run([sys.executable, "-c", PRINT], check=True, capture_output=True, text=True).stdout

    row = next(line for line in printed.splitlines() if line.startswith("│ 1 "))
    assert row.count("0.500 [0.250, 0.750]") == 4
    assert "promoted" in row
