"""The files of a folder that are the model, and whether it may be served: names, config and finite weights.
Light, so that handlers may import it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shared.errors import ArtifactError
from trainer_service.base.weights_check import check_finite

TEXTS = (".json", ".jinja", ".txt", ".model")  # config, tokenizer, chat template; code is never taken
ADAPTER = "adapter_config.json"  # beside a model: transformers would look for its adapter, or for its base
INDEX = "model.safetensors.index.json"
NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json")
WHOLE = "model.safetensors"
LFS = b"version https://git-lfs"  # how the place of a file begins that git has not fetched
QUANTIZED = ("quantization_config", "quantization")  # in the config; the second is MLX's


def model_files(folder: Path) -> dict[str, Path]:
    """By name, links followed. Other weights (*.bin, *.gguf), adapters, code and read-mes are left out."""
    weights = weight_files(folder)
    texts = [path for path in sorted(folder.iterdir()) if path.suffix in TEXTS and path.is_file()]
    return {path.name: path.resolve() for path in [*texts, *weights] if path.name != ADAPTER}


def weight_files(folder: Path) -> list[Path]:
    """The shards that the index names, or the files that are there. Raises ArtifactError if one lacks."""
    if not (folder / INDEX).exists():
        whole = folder / WHOLE
        found = [whole] if whole.exists() else sorted(folder.glob("*.safetensors"))
        for path in found:
            if not path.is_file():  # a link into a hub's cache, whose blob is not there
                raise ArtifactError(f"{path} leads to no file", "complete the download")
        return found
    try:
        named = sorted(set(json.loads((folder / INDEX).read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ArtifactError(f"{folder / INDEX} can't be read: {error!r}") from None
    for name in named:
        if Path(name).name != name or not (folder / name).is_file():
            raise ArtifactError(f"{folder} lacks {name}, which its index names", "complete the download")
    return [folder / name for name in named]


def check_model_folder(folder: Path) -> None:
    """Raises ArtifactError unless it holds a config, a tokenizer and finite weights."""
    check_files(folder)
    for path in weight_files(folder):
        check_finite(path)


def check_files(folder: Path) -> None:
    """Raises ArtifactError unless all files are there and can be read; reads no weights."""
    for name in NEEDED:
        if not (folder / name).exists():
            raise ArtifactError(f"{folder} has no {name}", _what_to_give(folder))
    if not weight_files(folder):
        raise ArtifactError(f"{folder} has no *.safetensors", "save the model in safetensors format")
    for path in model_files(folder).values():
        with path.open("rb") as file:
            if file.read(len(LFS)) == LFS:
                raise ArtifactError(f"{folder}: {path.name} stands for a file in git-lfs", "git lfs pull")
    config, _, _ = (_object(folder / name) for name in NEEDED)
    if any(config.get(name) for name in QUANTIZED):
        hint = "give the model that it was made from, or serve it and give its address as model.url"
        raise ArtifactError(f"{folder} is quantized, and can't be trained or served here", hint)
    if not (folder / INDEX).exists() and not (folder / WHOLE).exists():
        names = ", ".join(path.name for path in weight_files(folder)[:3])
        hint = f"one file is named {WHOLE}; several need {INDEX}, which says what each holds"
        raise ArtifactError(f"{folder} has weights under other names ({names})", hint)


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is no JSON: {error}", "download it again") from None
    if not isinstance(found, dict):
        raise ArtifactError(f"{path} holds no JSON object", "download it again")
    return found


def _what_to_give(folder: Path) -> str:
    """In the place of a folder that is no model's."""
    if snapshots := sorted(folder.glob("snapshots/*/config.json")):
        return f"give the snapshot in it: {snapshots[-1].parent}"
    if ggufs := sorted(folder.glob("*.gguf")):
        return f"give the file: {ggufs[0]}"
    if (folder / "config.json").exists():
        return "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) of transformers writes it"
    if (folder / ADAPTER).exists():
        return "that is an adapter: give the folder of the model that it was trained on"
    return "give a folder in Hugging Face format"


def is_immutable(path: Path, cache_dir: Path) -> bool:
    """Whether the file is never written again: one of our own cache, or a blob of a hub's cache, which is
    named by its content."""
    in_hub_cache = path.parent.name == "blobs" and path.parent.parent.name.startswith("models--")
    return in_hub_cache or path.is_relative_to(cache_dir.resolve())
