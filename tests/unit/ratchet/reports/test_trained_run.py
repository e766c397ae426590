"""A run that has trained and promoted an adapter, as its readers show it: export, curves, report, console."""

import json
import sys
import types
from pathlib import Path

import pytest
import yaml
from peft import PeftModel
from transformers import AutoModelForCausalLM

from ratchet.reports import report
from ratchet.reports.show import show_run
from ratchet.reports.trackers import export_curves
from ratchet.reports.training import progress_line
from ratchet.runs import folder as runs
from ratchet.runs.exports.export import export
from ratchet.runs.folder import RunFolder
from ratchet.runs.request import RunRequest
from ratchet.ui.generation import generation_page
from ratchet.ui.runs import Runs
from shared.config.settings import RunConfig, load_config
from shared.errors import SettingsError, ToolMissingError
from shared.ledger.migrate import settle_schema
from shared.messages import events as e
from shared.messages.proposals import TrainingCurves
from shared.messages.records import ArmRelease, Release
from shared.store.store import put_bundle, put_json, read_folder
from tests.parts.tiny_model import write_adapter, write_model

SERIES = {"loss": (2.0, 1.5, 1.25), "reward": (0.1, 0.2, 0.4)}
INTERVALS = {
    "first": {"mean": 0.2, "low": 0.1, "high": 0.3, "n": 50},
    "last": {"mean": 0.7, "low": 0.6, "high": 0.8, "n": 50},
    "gain": {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 50},
}
FACTS = {"name": "mine-g1-abc", "algorithm": "grpo", "steps": 3, "learning_rate": 0.001, "norm": 0.1}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_model(tmp_path_factory.mktemp("base"))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A tiny model\n")
    return folder


@pytest.fixture
def trained(tmp_path: Path, base: Path) -> RunFolder:
    config = load_config([{"run": {"task": "intents"}, "model": {"base": str(base)}}])
    folder = runs.create(RunRequest(config, "mine", tmp_path / "runs", "mine"))
    ledger, store = folder.open_ledger(), folder.open_store()
    settle_schema(ledger.database)
    ledger.create_run("mine")
    made = read_folder(write_adapter(tmp_path / "adapter", base, 1)) | {
        "ratchet.json": json.dumps(FACTS).encode()
    }
    made.pop("README.md", None)
    adapter = put_bundle(store, made)
    harness = put_bundle(store, {"harness.toml": b""})
    first = Release(base="b" * 64, harness=harness)
    release = first.model_copy(update={"adapter": adapter})
    settings = put_json(store, RunConfig.model_validate(config.model_dump()))
    curves = put_json(store, TrainingCurves(series=SERIES))
    where = {"run_id": "mine", "generation": 1}
    opened = {"config": settings, "instances": put_json(store, []), "seeds": (1,)}
    for event in (
        e.RunStarted(run_id="mine", config=settings),
        e.BaseReady(run_id="mine", base="b" * 64),
        e.RolloutsOpened(
            **where, **opened, purpose="train", releases=(ArmRelease(arm="train", release=first),)
        ),
        e.WeightUpdateProposed(
            **where, config=settings, release=first, update="u", reason="four replies a group"
        ),
        e.AdapterPublished(
            **where,
            join=e.Join(id="j", slot="weights", expected=1),
            adapter=adapter,
            reason="four replies a group",
            metrics={"norm": 0.1},
            curves=curves,
        ),
        e.ReleasePromoted(**where, release=release, arm="weights", evidence="", why="it was better"),
        e.RunFinished(run_id="mine", state="done", why="all done", test=put_json(store, INTERVALS)),
    ):
        ledger.submit([event])
    return folder


def test_export_writes_what_peft_loads_with_a_card_that_tells_the_sealed_result(
    trained: RunFolder, base: Path, tmp_path: Path
) -> None:
    export(trained, tmp_path / "out")
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "out" / "adapter")
    card = (tmp_path / "out" / "adapter" / "README.md").read_text()
    _, head, text = card.split("---\n", 2)
    stated = yaml.safe_load(head)
    assert (stated["base_model"], stated["license"], stated["library_name"]) == (str(base), "mit", "peft")
    assert stated["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.7
    assert "| this release | 0.700 [0.600, 0.800] |" in text
    assert "| gain, paired | 0.500 [0.400, 0.600] |" in text
    assert "- algorithm: grpo" in text
    assert "Generation 1: four replies a group." in text
    assert "--lora-modules mine-g1-abc=" in text


def test_the_curves_are_in_show_the_report_and_the_console(trained: RunFolder) -> None:
    shown = show_run(trained)
    assert shown["generations"][0]["proposals"]["weights"]["curves"] == {
        k: list(v) for k, v in SERIES.items()
    }
    text = report.write(trained).read_text()
    assert "![training](training.png)" in text
    assert (trained.report / "training.png").stat().st_size > 1000
    view = Runs(trained.path.parent).view("mine")
    view.refresh()
    curves = generation_page(view, 1)["curves"]
    assert [(name, first, last) for name, _, first, last in curves] == [
        ("loss", 2.0, 1.25),
        ("reward", 0.1, 0.4),
    ]


def test_curves_are_handed_on_to_a_tracker_step_by_step(
    trained: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    tracker = types.ModuleType("trackio")
    tracker.init = lambda **about: seen.append(about)  # type: ignore[attr-defined]
    tracker.log = lambda watched, step: seen.append((step, watched))  # type: ignore[attr-defined]
    tracker.finish = lambda: seen.append("end")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trackio", tracker)
    assert export_curves(trained, "trackio") == ["mine-g1"]
    assert seen[0] == {"project": "intents", "name": "mine-g1", "config": {"norm": 0.1}}
    assert seen[1:] == [
        (1, {"loss": 2.0, "reward": 0.1}),
        (2, {"loss": 1.5, "reward": 0.2}),
        (3, {"loss": 1.25, "reward": 0.4}),
        "end",
    ]


def test_a_tracker_that_is_unknown_or_not_installed_is_named(
    trained: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ToolMissingError, match="pip install mlflow"):
        export_curves(trained, "mlflow")
    with pytest.raises(SettingsError, match="known: mlflow, trackio"):
        export_curves(trained, "paper")


def test_the_live_view_tells_how_far_a_training_is(trained: RunFolder) -> None:
    log = trained.open_ledger().events("mine")
    assert progress_line(trained.cache_dir, log) == ""  # it is done
    under_way = log[:4]
    assert progress_line(trained.cache_dir, under_way) == ""  # nothing of it on this machine
    place = trained.cache_dir / "training" / under_way[-1].event.digest
    place.mkdir(parents=True)
    assert progress_line(trained.cache_dir, under_way) == "training: reading its samples"
    (place / "progress.json").write_text('{"done": 12, "steps": 51, "left_s": 241.0}')
    assert progress_line(trained.cache_dir, under_way) == "training 12/51 steps, about 4 min left"
    (place / "progress.json").write_text('{"done": 50, "steps": 51, "left_s": 7.4}')
    assert progress_line(trained.cache_dir, under_way) == "training 50/51 steps, about 7 s left"
    (place / "progress.json").write_text('{"done": 51, "steps": 51, "left_s": 0.0}')
    assert progress_line(trained.cache_dir, under_way) == "training 51/51 steps, being verified"
