"""Opens a model folder in Hugging Face format: weights, tokenizer, and what the server must know about
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from shared.errors import SettingsError


@dataclass(frozen=True)
class LanguageModel:
    model: Any  # a transformers PreTrainedModel, in evaluation mode
    tokenizer: Any  # a fast tokenizer
    device: torch.device
    vocab: int  # width of the logits; at least the tokenizer's
    context: int  # most tokens that a prompt and its answer may have together
    stop_tokens: tuple[int, ...]


def load_language_model(folder: Path, device: torch.device) -> LanguageModel:
    """Raises SettingsError for what this server can't serve. Never looks on a network."""
    if not (folder / "config.json").is_file():
        raise SettingsError(
            f"{folder} is no model folder", "it needs config.json, model.safetensors, tokenizer.json"
        )
    dtype: Any = torch.float32 if device.type == "cpu" else "auto"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True).to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    config = model.config.get_text_config()
    if _sees_a_window_only(config):
        raise SettingsError(
            f"{folder}: layers without full attention are not served here", "serve it with vLLM"
        )
    if not tokenizer.is_fast:
        raise SettingsError(f"{folder} has no fast tokenizer", "save it with tokenizer.json")
    return LanguageModel(
        model=model,
        tokenizer=tokenizer,
        device=device,
        vocab=model.get_output_embeddings().weight.shape[0],
        context=config.max_position_embeddings,
        stop_tokens=_stop_tokens(model, tokenizer),
    )


def _sees_a_window_only(config: Any) -> bool:
    """The batch leaves gaps in its cache, which full attention masks and a window would count."""
    layer_types = getattr(config, "layer_types", None)
    if layer_types is not None:
        return any(kind != "full_attention" for kind in layer_types)
    return getattr(config, "sliding_window", None) is not None


def _stop_tokens(model: Any, tokenizer: Any) -> tuple[int, ...]:
    configured = model.generation_config.eos_token_id
    several = configured if isinstance(configured, list) else [configured]
    tokens = tuple(dict.fromkeys(t for t in [tokenizer.eos_token_id, *several] if t is not None))
    if not tokens:
        raise SettingsError("the tokenizer names no eos token", "without one no answer can end")
    return tokens
