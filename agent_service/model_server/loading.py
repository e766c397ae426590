"""Opens a model folder in Hugging Face format: weights, tokenizer, and what the server must know about them.
What this server can't serve is refused here, with the reason, before it listens.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from agent_service.model_server.decoding.self_check import check_reading
from agent_service.model_server.rounding import round_products
from shared.cpu import bfloat16_pays
from shared.errors import RatchetError, SettingsError
from shared.model.plain_chat import PLAIN_TEMPLATE

logger = logging.getLogger(__name__)

ENDLESS = 1 << 30  # as a window: wider than any context
ATTENTION = ("full_attention", "sliding_attention")
# What configs call the longest context; the default is for those that know no limit (ALiBi).
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
DEFAULT_CONTEXT = 2048
PROBE = "tell me a word"  # what a usable template writes into its prompt
HERE = {"local_files_only": True, "trust_remote_code": False}  # never a network, nor a question on a terminal


@dataclass(frozen=True)
class LanguageModel:
    model: Any  # a transformers PreTrainedModel, in evaluation mode
    tokenizer: Any  # a fast tokenizer
    device: torch.device
    vocab: int  # width of the logits; at least the tokenizer's
    context: int  # most tokens that a prompt and its answer may have together
    stop_tokens: tuple[int, ...]
    parameters: int
    token_bytes: int  # of the key-value cache, for one token of one row


def load_language_model(folder: Path, device: torch.device) -> LanguageModel:
    """Raises SettingsError for what this server can't serve. Never looks on a network."""
    if not (folder / "config.json").is_file():
        raise SettingsError(
            f"{folder} is no model folder", "it needs config.json, model.safetensors, tokenizer.json"
        )
    tokenizer = _tokenizer(folder)
    model, context = _model(folder, device)
    vocab = model.get_output_embeddings().weight.shape[0]
    if len(tokenizer) > vocab:
        raise SettingsError(f"{folder}: the tokenizer has {len(tokenizer)} tokens, the model {vocab}")
    token_bytes = check_reading(model, vocab, device)
    if device.type == "cpu" and bfloat16_pays(model.get_output_embeddings().in_features):
        round_products(model)
    return LanguageModel(
        model=model,
        tokenizer=tokenizer,
        device=device,
        vocab=vocab,
        context=context,
        stop_tokens=_stop_tokens(model, tokenizer, vocab),
        parameters=sum(weight.numel() for weight in model.parameters()),
        token_bytes=token_bytes,
    )


def _tokenizer(folder: Path) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **HERE)
    except Exception as error:  # whatever a library makes of a user's files
        raise SettingsError(f"{folder}: the tokenizer can't be read: {_first_line(error)}") from error
    if not tokenizer.is_fast:
        raise SettingsError(f"{folder} has no fast tokenizer", "save it with tokenizer.json")
    if not tokenizer.chat_template:
        logger.warning("no chat template: messages are written as `Role: text`")
        tokenizer.chat_template = PLAIN_TEMPLATE
    _check_template(folder, tokenizer)
    return tokenizer


def _check_template(folder: Path, tokenizer: Any) -> None:
    messages = [{"role": "user", "content": PROBE}]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        why = "" if PROBE in text else "it leaves out what the user says"
    except Exception as error:  # a template raises what its author wrote into it
        why = _first_line(error)
    if why:
        raise SettingsError(
            f"{folder}: the chat template can't be used: {why}", "correct chat_template.jinja"
        )


def _model(folder: Path, device: torch.device) -> tuple[Any, int]:
    """The model, and the tokens that it can take in."""
    try:
        config = AutoConfig.from_pretrained(folder, **HERE)
        text = config.get_text_config()
        context = _context(text)
        window = _widen_windows(text)
        if window < context:
            logger.warning("some layers look back %d tokens: that is the context here", window)
            context = window
        dtype = _precision(config, device)
        model, loaded = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype, output_loading_info=True, **HERE
        )
    except RatchetError:
        raise
    except Exception as error:  # whatever a library makes of a user's files
        hint = "is its architecture one that transformers reads?"
        raise SettingsError(f"{folder} can't be loaded: {_first_line(error)}", hint) from error
    if missing := sorted(loaded["missing_keys"]):  # they would be random
        raise SettingsError(
            f"{folder} lacks {len(missing)} of the model's weights, such as {missing[0]}",
            "is it whole, and a model that writes text?",
        )
    return model.to(device).eval(), context


def _precision(config: Any, device: torch.device) -> torch.dtype:
    """float32 on a CPU, where all but the products is slower in half precision; half on a GPU."""
    if device.type == "cpu":
        return torch.float32
    own = getattr(config, "dtype", None)
    return own if own in (torch.float16, torch.bfloat16) else torch.bfloat16


def _context(config: Any) -> int:
    known = [getattr(config, key, None) for key in CONTEXT_KEYS]
    return next((int(value) for value in known if isinstance(value, int) and value > 0), DEFAULT_CONTEXT)


def _widen_windows(config: Any) -> int:
    """The narrowest window of the model's layers, and none in the config from here on: the batch leaves gaps
    in its cache, which a window would count as tokens. Within that many tokens both give the same."""
    layer_types = getattr(config, "layer_types", None) or []
    other = sorted({kind for kind in layer_types if kind not in ATTENTION})
    if other:
        raise SettingsError(
            f"{config.model_type}: layers of the kind {', '.join(other)} are not served here",
            "serve it with vLLM and give its address as model.url",
        )
    if "local" in getattr(config, "attention_layers", ()):  # GPT-Neo's name for the same
        window, config.window_size = config.window_size, ENDLESS
        return int(window)
    window = getattr(config, "sliding_window", None)
    if window is None or (layer_types and "sliding_attention" not in layer_types):
        return ENDLESS
    config.sliding_window = ENDLESS
    return int(window)


def _stop_tokens(model: Any, tokenizer: Any, vocab: int) -> tuple[int, ...]:
    configured = model.generation_config.eos_token_id
    several = configured if isinstance(configured, list) else [configured]
    tokens = tuple(dict.fromkeys(t for t in [tokenizer.eos_token_id, *several] if t in range(vocab)))
    if not tokens:
        raise SettingsError("the tokenizer names no eos token", "without one no answer can end")
    return tokens


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
