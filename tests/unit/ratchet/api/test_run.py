"""A run read from Python: frames, the sealed test, releases, and what the arguments of `ratchet.run` mean."""

import subprocess
import sys
from pathlib import Path

import pytest

import ratchet
from ratchet.api.frames import frame_of
from ratchet.api.run import Run, overrides_of
from shared.errors import SettingsError
from shared.messages.records import digest_of
from tests.loop.toy_world import World


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of two generations, the first of them promoted."""
    root = tmp_path_factory.mktemp("runs")
    assert World(root / "toy", {"run": {"generations": 2}}).run().state == "done"
    return ratchet.open_run("toy", root)


def test_generations_are_a_frame_that_agrees_with_show(run: Run) -> None:
    frame, shown = run.generations, run.show()
    assert list(frame.index) == [1, 2]
    for number, found in enumerate(shown["generations"], start=1):
        assert frame.loc[number, "decision"] == found["gate"]["decision"]
        assert frame.loc[number, "both"] == found["arms"]["both"]["mean"]
        assert frame.loc[number, "evaluations"] == found["cost"]["evaluations"]
    assert frame.loc[1, "decision"] == "promoted"
    assert frame.loc[1, "gain_low"] < frame.loc[1, "gain"] < frame.loc[1, "gain_high"]
    assert "<table" in run._repr_html_()


def test_a_run_has_its_state_its_sealed_test_and_its_releases(run: Run) -> None:
    assert (run.name, run.state) == ("toy", "done")
    assert run.test is not None
    assert run.test["last"]["mean"] > run.test["first"]["mean"]
    first, last = run.release(0), run.release()
    assert first.digest != last.digest
    assert run.release(1).digest == digest_of(run.release(1).release.model_dump())
    with pytest.raises(SettingsError, match="no generation '7'"):
        run.release(7)
    with pytest.raises(SettingsError, match="runs there: toy"):
        ratchet.open_run("other", run.folder.path.parent)
    assert [found.name for found in ratchet.list_runs(run.folder.path.parent)] == ["toy"]


def test_the_arguments_of_run_are_sections_of_a_config() -> None:
    assert overrides_of("http://127.0.0.1:1/v1", 500, {"gate.alpha": 0.01, "run": {"seed": 3}}) == [
        {"model": {"url": "http://127.0.0.1:1/v1"}},
        {"budget": {"evaluations": 500}},
        {"gate": {"alpha": 0.01}},
        {"run": {"seed": 3}},
    ]
    assert overrides_of("smollm2", {"usd": 2}, None) == [
        {"model": {"base": "smollm2"}},
        {"budget": {"usd": 2}},
    ]
    assert overrides_of(None, None, None) == []


def test_a_wrong_setting_raises_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(ratchet.RatchetError, match=r"gate\.alpah"):
        ratchet.run("trimul", settings={"gate.alpah": 1}, root=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_rows_without_the_index_stay_a_frame() -> None:
    assert frame_of([], "generation").empty


def test_importing_ratchet_loads_nothing_and_knows_its_names() -> None:
    code = (
        "import sys, ratchet; print([m for m in ('numpy', 'pandas', 'typer') if m in sys.modules]);"
        "print(ratchet.run.__module__, dir(ratchet) == sorted(ratchet.__all__), hasattr(ratchet, 'nothing'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "ratchet.api.run True False"]


def test_every_name_of_the_package_is_there() -> None:
    for name in ratchet.__all__:
        assert getattr(ratchet, name).__name__ == name
