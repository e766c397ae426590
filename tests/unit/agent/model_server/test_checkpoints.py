"""Checkpoints that are not whole, or not what they seem: refused with the reason, never served with random
weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agent_service.model_server.loading import LanguageModel, load_language_model
from shared.errors import SettingsError, TrainingError
from trainer_service.training.model import load_base

Change = Callable[[Path], object]


def load(base: Path, folder: Path, change: Change) -> LanguageModel:
    shutil.copytree(base, folder)
    change(folder)
    return load_language_model(folder, torch.device("cpu"))


def config(**fields: object) -> Change:
    def change(folder: Path) -> None:
        old = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(old | fields))

    return change


def template(text: str) -> Change:
    return lambda folder: (folder / "chat_template.jinja").write_text(text)


def without_a_tensor(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without_a_tensor, r"lacks 1 of the model's weights, such as model\.layers\.1\.mlp\.up_proj"),
        (config(model_type="bert"), r"lacks \d+ of the model's weights"),
        (config(model_type="xyz", auto_map={"AutoConfig": "its.Config"}), "custom code"),
        (config(max_position_embeddings=256.5), "max_position_embeddings"),
        (lambda folder: (folder / "config.json").write_text("[]"), "must be a mapping"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99), "can't be loaded"),
        (template("{% for m in %}"), "the chat template can't be used"),
        (template("{{ messages[0]['content']['text'] }}"), "leaves out what the user says"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_refused(
    change: Change, reason: str, base: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=reason):
        load(base, tmp_path / "model", change)


def test_an_end_token_beyond_the_vocabulary_ends_nothing(base: Path, tmp_path: Path) -> None:
    def beyond(folder: Path) -> None:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 99_999]}))

    assert load(base, tmp_path / "model", beyond).stop_tokens == (1,)


def test_nothing_is_trained_on_random_weights(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "model")
    without_a_tensor(tmp_path / "model")
    with pytest.raises(TrainingError, match="lacks 1 of its weights"):
        load_base(tmp_path / "model")
