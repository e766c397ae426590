"""Reads an adapter folder in PEFT layout and refuses what must not reach the model: files that are missing
or no safetensors, tensors that are not finite, ranks beyond the cap, and every kind of adapter but plain
LoRA.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file

from agent_service.model_server.refusal import Refusal

MAX_RANK = 512
FILES = {"adapter_config.json": 1 << 20, "adapter_model.safetensors": 8 << 30}  # and their most bytes
# The keys that a plain LoRA may set; in all others it must agree with PEFT's default (no DoRA, biases, ...).
PLAIN = {
    "alpha_pattern", "base_model_name_or_path", "exclude_modules", "fan_in_fan_out", "inference_mode",
    "layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout", "peft_type", "peft_version", "r",
    "rank_pattern", "revision", "target_modules", "task_type", "use_rslora",
}  # fmt: skip
HARMLESS_INITS = (True, False, "gaussian")  # the others (PiSSA, ...) rest on a changed base


def find_adapter(path: str, root: Path | None) -> Path:
    """The folder, if it lies in `root` and its files are files of its own there. Raises Refusal."""
    folder = Path(path).resolve()
    if root is not None and not folder.is_relative_to(root.resolve()):
        raise Refusal(f"{path} is not in {root}, where adapters are")
    for name, most_bytes in FILES.items():
        file = folder / name
        if root is not None and file.is_symlink():
            raise Refusal(f"{file} can't be read: it is a link")
        if not file.is_file():
            raise Refusal(f"{file} can't be read: there is no such file")
        if file.stat().st_size > most_bytes:
            raise Refusal(f"{file} is larger than {most_bytes} bytes")
    return folder


def read_adapter(folder: Path) -> tuple[LoraConfig, dict[str, torch.Tensor]]:
    """The config and the tensors. Raises Refusal."""
    return _read_config(folder / "adapter_config.json"), _read_weights(folder / "adapter_model.safetensors")


def _read_config(path: Path) -> LoraConfig:
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refusal(f"{path} can't be read: {error}") from error
    if not isinstance(stated, dict) or stated.get("peft_type") != "LORA":
        raise Refusal(f"{path} is no LoRA adapter's config")
    default = dataclasses.asdict(LoraConfig(task_type="CAUSAL_LM"))
    changed = {key for key, value in stated.items() if (value or None) != (default.get(key) or None)}
    odd = list(changed - PLAIN - {"init_lora_weights"})
    if stated.get("init_lora_weights", True) not in HARMLESS_INITS:
        odd.append("init_lora_weights")
    if odd:
        raise Refusal(f"{path}: only plain LoRA is served; unsupported: {', '.join(sorted(odd))}")
    _check_ranks(path, stated)
    settings: dict[str, Any] = {key: stated[key] for key in stated.keys() & PLAIN & default.keys()}
    settings |= {"task_type": "CAUSAL_LM", "inference_mode": True}
    try:
        return LoraConfig(**settings)
    except (TypeError, ValueError) as error:
        raise Refusal(f"{path}: {error}") from error


def _check_ranks(path: Path, stated: dict[str, Any]) -> None:
    ranks = [stated.get("r"), *(stated.get("rank_pattern") or {}).values()]
    if not all(isinstance(rank, int) and 1 <= rank <= MAX_RANK for rank in ranks):
        raise Refusal(f"{path}: ranks must lie in 1..{MAX_RANK}, not {ranks}")


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        weights: dict[str, torch.Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise Refusal(f"{path} can't be read: {error}") from error
    if not weights:
        raise Refusal(f"{path} is empty")
    for key, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise Refusal(f"{path}: {key} is not finite")
    return weights
