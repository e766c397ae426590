"""Lines of a service's log, as text and as JSON, and files that are rotated while others write to them."""

import json
import subprocess
import sys
from pathlib import Path

from shared.logs import KEPT, rotate

PROGRAM = """
import logging
from shared import logs
logs.set_up("agent", KIND)
logging.getLogger("a.b").info("two\\nlines of %s", "text")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("a.b").exception("failed")
"""


def logged(kind: str) -> str:
    code = PROGRAM.replace("KIND", repr(kind))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr


def test_a_json_log_has_a_line_a_record_with_its_traceback() -> None:
    first, second = map(json.loads, logged("json").splitlines())
    assert (first["level"], first["service"], first["logger"]) == ("INFO", "agent", "a.b")
    assert first["message"] == "two\nlines of text"
    assert first["time"].endswith("Z")
    assert first["pid"] == second["pid"]
    assert "ZeroDivisionError" in second["traceback"]


def test_a_text_log_names_time_level_and_service() -> None:
    assert "Z INFO agent[" in logged("text").splitlines()[0]


def test_a_log_that_is_written_to_is_rotated_and_its_oldest_part_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "agent.log"
    with file.open("ab", buffering=0) as writer:  # as a service has it
        for number in range(KEPT + 3):
            writer.write(f"{number}\n".encode() * 10)
            assert rotate(file, 5)
        writer.write(b"last\n")
        assert not rotate(file, 5)
    assert file.read_text() == "last\n"
    kept = sorted(tmp_path.glob("agent.log.*"))
    assert [path.name for path in kept] == [f"agent.log.{number}" for number in range(1, KEPT + 1)]
    assert [path.read_text()[0] for path in kept] == ["5", "4", "3"]
