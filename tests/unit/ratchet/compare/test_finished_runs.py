"""`ratchet compare RUN RUN`: finished runs beside each other, by name or by folder."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ratchet.cli.main import app
from ratchet.compare.results import read_runs
from shared.errors import SettingsError
from tests.loop.toy_world import World

GATE = {"screen_instances": 6, "round_instances": 12, "max_pairs": 36, "test_instances": 6}


def finished(folder: Path, levers: str) -> Path:
    """A run's folder; without a lever that pays there is nothing to promote."""
    made = World(folder, {"run": {"generations": 1, "levers": levers}, "gate": GATE}, name=folder.name)
    assert made.run().test
    (folder / "config.json").write_text(made.config.model_dump_json())
    return folder


def test_runs_named_by_their_folders_are_written_under_root_and_paired_by_sealed_instance(tmp_path) -> None:
    runs = [str(finished(tmp_path / name, name)) for name in ("harness", "both")]
    shown = CliRunner().invoke(app, ["compare", *runs, "--root", str(tmp_path), "--json"])
    assert shown.exit_code == 0, shown.output
    (pair,) = json.loads(shown.stdout)["pairs"]
    assert (pair["arm"], pair["minus"], pair["difference"]["n"]) == ("both", "harness", 6)
    assert pair["difference"]["mean"] == pytest.approx(0.25, abs=0.1)
    written = sorted(path.name for path in (tmp_path / "compare-harness-both").iterdir())
    assert written == ["candidates.png", "comparison.json", "sealed.png"]


def test_runs_of_one_name_are_told_apart_by_the_folders_that_hold_them(tmp_path) -> None:
    runs = [str(finished(tmp_path / study / "both-seed0", "both")) for study in ("monday", "friday")]
    assert list(read_runs(runs, tmp_path)["arms"]) == ["monday-both-seed0", "friday-both-seed0"]


def test_a_run_without_its_sealed_test_and_a_run_beside_itself_are_refused(tmp_path) -> None:
    whole = str(finished(tmp_path / "whole", "harness"))
    young = World(tmp_path / "young", name="young")
    (tmp_path / "young" / "config.json").write_text(young.config.model_dump_json())
    with pytest.raises(SettingsError, match="young has no sealed test: it is running"):
        read_runs([whole, "young"], tmp_path)
    with pytest.raises(SettingsError, match="can't be compared with itself"):
        read_runs([whole, "whole"], tmp_path)
