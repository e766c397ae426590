"""An exported adapter comes with what it takes to load it."""

import json
from pathlib import Path

import pytest
import yaml

from ratchet.runs import folder as runs
from ratchet.runs.exports.card import licence_of
from ratchet.runs.exports.export import export
from ratchet.runs.folder import RunFolder
from ratchet.runs.request import RunRequest
from shared.config.settings import load_config
from shared.errors import SettingsError
from shared.ledger.migrate import settle_schema
from shared.messages import events as e
from shared.messages.records import ArmRelease, Release
from shared.store.store import put_bundle, put_json

BASE = {"config.json": b"{}", "model.safetensors": b"weights"}
ADAPTER = {"ratchet.json": json.dumps({"name": "mine-g1-abc"}).encode(), "adapter_config.json": b'{"r": 8}'}


def promoted(root: Path, base: str, digest: str = "") -> RunFolder:
    """A run that has promoted an adapter. `base`: model.base; `digest`: of the release's base, if not its
    own files'."""
    config = load_config([{"run": {"task": "intents"}, "model": {"base": base}}])
    folder = runs.create(RunRequest(config, "mine", root, "mine"))
    ledger, store = folder.open_ledger(), folder.open_store()
    settle_schema(ledger.database)
    ledger.create_run("mine")
    harness, settings = put_bundle(store, {"harness.toml": b""}), put_json(store, config)
    first = Release(base=digest or put_bundle(store, BASE), harness=harness)
    made = first.model_copy(update={"adapter": put_bundle(store, ADAPTER)})
    where = {"run_id": "mine", "generation": 1}
    opened = {"config": settings, "instances": put_json(store, []), "seeds": (1,), "purpose": "train"}
    train = e.RolloutsOpened(**where, **opened, releases=(ArmRelease(arm="train", release=first),))
    better = e.ReleasePromoted(**where, release=made, arm="weights", evidence="", why="it was better")
    for event in (e.RunStarted(run_id="mine", config=settings), train, better):
        ledger.submit([event])
    return folder


def card(out: Path) -> str:
    return (out / "adapter" / "README.md").read_text()


def test_the_card_of_an_adapter_on_a_packaged_model_names_that_model_as_hubs_do(tmp_path: Path) -> None:
    export(promoted(tmp_path / "runs", "smollm2"), tmp_path / "out")
    head = yaml.safe_load(card(tmp_path / "out").split("---\n")[1])
    assert (head["base_model"], head["license"]) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")


@pytest.mark.parametrize("base", ["smollm2", "seed", "/models/mine.gguf"])
def test_weights_that_no_library_finds_by_name_are_exported_and_the_card_says_how(
    base: str, tmp_path: Path
) -> None:
    lines = export(promoted(tmp_path / "runs", base), tmp_path / "out", with_base=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out" / "base").iterdir()} == BASE
    assert any(line.startswith(f"{tmp_path}/out/base ") for line in lines)
    assert "`ratchet export mine OUT --base`" in card(tmp_path / "out")
    assert 'AutoModelForCausalLM.from_pretrained("path/to/base")' in card(tmp_path / "out")


def test_a_model_of_a_hub_is_loaded_by_its_id(tmp_path: Path) -> None:
    export(promoted(tmp_path / "runs", "Qwen/Qwen3-0.6B@main"), tmp_path / "out")
    assert "vllm serve Qwen/Qwen3-0.6B --enable-lora" in card(tmp_path / "out")
    assert "--base" not in card(tmp_path / "out")


def test_the_card_names_the_licence_that_a_gguf_file_states(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    file = tmp_path / "model.gguf"
    for licence in ("apache-2.0", None):
        writer = gguf.GGUFWriter(file, "llama")
        if licence:
            writer.add_license(licence)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        assert licence_of(str(file)) == (licence or "")
    file.write_bytes(b"another file by now")
    assert licence_of(str(file)) == ""


def test_an_endpoints_own_weights_can_not_be_exported(tmp_path: Path) -> None:
    run = promoted(tmp_path / "runs", "Qwen/Qwen3-0.6B", digest="endpoint:qwen")
    with pytest.raises(SettingsError, match="endpoint's own"):
        export(run, tmp_path / "out", with_base=True)
