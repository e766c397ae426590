"""`ratchet trace` and `ratchet diff` over a finished toy run: every attempt, and what a run changed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from ratchet.reports.diff import adapter_norms, diff, harness_diff
from ratchet.reports.trace import read_attempts, trace_attempt, trace_rows
from ratchet.runs.folder import RunFolder
from shared.errors import SettingsError
from shared.messages.records import Release
from shared.store.store import put_bundle
from tests.loop.toy_world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("runs") / "toy", {"run": {"generations": 2}})
    assert world.run().state == "done"
    return world


@pytest.fixture
def folder(world: World) -> RunFolder:
    return RunFolder(world.folder)


def test_every_attempt_has_a_row_and_filters_leave_their_own(folder: RunFolder, world: World) -> None:
    rows = trace_rows(folder)
    assert len({row["attempt"] for row in rows}) == len(rows)
    assert {row["purpose"] for row in rows} == {"train", "screen", "confirm", "test"}
    screen = trace_rows(folder, 1, "screen")
    assert {(row["generation"], row["purpose"]) for row in screen} == {(1, "screen")}
    assert {row["arm"] for row in screen} == {"base", "harness", "weights", "both"}
    assert all(0 <= row["ended_s"] <= world.history().elapsed_s for row in rows)


def test_the_sealed_test_stays_sealed_while_a_run_is_open(folder: RunFolder, tmp_path: Path) -> None:
    log = folder.open_ledger().events("toy")
    open_ledger = World(tmp_path / "toy", {"run": {"generations": 2}})
    shutil.copytree(folder.store, tmp_path / "toy/store", dirs_exist_ok=True)
    open_ledger.ledger.submit(
        [logged.event for logged in log if type(logged.event).__name__ != "RunFinished"]
    )
    purposes = {found.purpose for found in read_attempts(RunFolder(open_ledger.folder))}
    assert purposes == {"train", "screen", "confirm"}


def test_one_attempt_is_shown_whole_by_the_beginning_of_its_id(folder: RunFolder) -> None:
    row = trace_rows(folder, 1, "train")[0]
    whole = trace_attempt(folder, row["attempt"])
    assert whole["score"] == row["score"] == whole["final"]["score"]
    assert whole["turns"][0]["replies"][0]["text"]
    assert json.loads(json.dumps(whole)) == whole
    with pytest.raises(SettingsError, match="0 attempts of toy"):
        trace_attempt(folder, "no such attempt")
    with pytest.raises(SettingsError, match=f"{len(trace_rows(folder))} attempts of toy begin with ''"):
        trace_attempt(folder, "")


def test_a_diff_names_the_knobs_and_pairs_the_scores(tmp_path: Path) -> None:
    world = World(tmp_path / "toy", {"run": {"generations": 2}}, fail_training=True)
    assert world.run().release != world.history().first
    folder = RunFolder(world.folder)
    found = diff("toy:0", "toy", folder.path.parent)
    assert found["first"]["harness"] != found["second"]["harness"]
    assert found["knobs"]
    assert all(before != after for before, after in found["knobs"].values())
    assert any(name in found["harness"]["harness.toml"] for name in found["knobs"])
    assert found["scores"]["instances"]
    gain = found["scores"]["second_minus_first"]
    assert gain["n"] == len(found["scores"]["instances"])
    mean = np.mean([row["second"] - row["first"] for row in found["scores"]["instances"]])
    assert gain["mean"] == pytest.approx(mean)
    same = diff("toy", "toy", folder.path.parent)
    assert (same["harness"], same["knobs"], same["scores"]["second_minus_first"]["mean"]) == ({}, {}, 0.0)


def test_a_text_that_is_there_on_one_side_alone_is_shown() -> None:
    found = harness_diff({"a.md": b"one\n", "same": b"x"}, {"b.md": b"two\n", "same": b"x"})
    assert sorted(found) == ["a.md", "b.md"]
    assert "-one" in found["a.md"]
    assert "+two" in found["b.md"]


def test_an_adapters_norm_is_that_of_the_whole_update(folder: RunFolder) -> None:
    """By hand: A = [[3, 4]], B = [[1], [2]]: B A = [[3, 4], [6, 8]], norm sqrt(125); times alpha / r = 2."""
    tensors = {
        "base_model.model.q.lora_A.weight": np.array([[3.0, 4.0]], dtype=np.float32),
        "base_model.model.q.lora_B.weight": np.array([[1.0], [2.0]], dtype=np.float32),
    }
    config = json.dumps({"r": 1, "lora_alpha": 2}).encode()
    files = {"adapter_config.json": config, "adapter_model.safetensors": save(tensors)}
    adapter = put_bundle(folder.open_store(), files)
    norms = adapter_norms(folder, Release(base="b", harness="h", adapter=adapter))
    assert norms == {"q": pytest.approx(2 * 125**0.5)}
    assert adapter_norms(folder, Release(base="b", harness="h")) is None
