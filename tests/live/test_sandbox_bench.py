"""`ratchet bench sandbox`, as short as it can be: real boxes, real programs, few of them."""

import json
from pathlib import Path

import pytest

from benchmarks.sandbox import __main__ as sandbox


@pytest.mark.slow
def test_the_bench_measures_the_walls_and_the_clock_and_records_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--blocks", "2", "--real-blocks", "1", "--turns", "1", "--starts", "1"]
    sandbox.main([*few, "--json", "--out", str(tmp_path / "found.json")])
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "found.json").read_text())
    assert min(found["ratio"], *found["start_up"].values()) > 0
    assert found["timing_noise"]["comparisons"] == 2
    assert 0 <= found["timing_noise"]["aa_called_different"] <= 1
    assert found["machine"]["cpus"] >= 1
    assert len(found["load"]) == 2
    assert "power at a true 3%" in sandbox.table(found)
