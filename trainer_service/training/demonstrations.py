"""Demonstrations become tokens: the base's own chat template, prompt and reply tokenized apart, as the model
server does it. What is learned is the reply and the token that ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer, GenerationConfig

from shared.errors import TrainingError
from shared.messages.proposals import Demonstration, Demonstrations
from shared.messages.records import JsonObject
from shared.model.plain_chat import PLAIN_TEMPLATE
from shared.model.wire import without_system
from trainer_service.specs import TrainingSample


def read_demonstrations(path: Path, base: Path, template: JsonObject | None = None) -> list[TrainingSample]:
    """One sample a demonstration; each earns 1. `template`: arguments of the chat template, as the model is
    asked with them. Raises TrainingError where it refuses one."""
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    tokenizer.chat_template = tokenizer.chat_template or PLAIN_TEMPLATE
    end = stop_token(base, tokenizer)
    items = Demonstrations.model_validate_json(path.read_bytes()).items
    if not items:
        raise TrainingError("there is no demonstration to learn from")
    return [tokenize(item, tokenizer, end, template or {}) for item in items]


def prompts_an_answer(samples: Sequence[TrainingSample]) -> int:
    """In how many different prompts an answer stands, in the mean: two where a harness is proposed beside the
    live one."""
    shown = {(sample.group, sample.token_ids, sample.prompt_ids) for sample in samples}
    return max(1, round(len(shown) / len({answer[:2] for answer in shown})))


def tokenize(item: Demonstration, tokenizer: Any, end: int, template: JsonObject) -> TrainingSample:
    messages = [{"role": message.role, "content": message.content} for message in item.messages]
    try:
        text = _prompt(tokenizer, messages, template)
    except TemplateError as error:
        raise TrainingError(
            f"the chat template refuses the demonstration of {item.instance_id}: {error}"
        ) from error
    prompt_ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    reply_ids = (*tokenizer(item.reply, add_special_tokens=False)["input_ids"], end)
    return TrainingSample(
        prompt_ids=tuple(prompt_ids),
        token_ids=reply_ids,
        free=(True,) * len(reply_ids),
        reward=1.0,
        group=item.instance_id,
    )


def _prompt(tokenizer: Any, messages: list[dict[str, str]], template: JsonObject) -> str:
    """As the model is asked: without a system message where its template knows none."""
    write = partial(tokenizer.apply_chat_template, tokenize=False, add_generation_prompt=True, **template)
    try:
        return str(write(messages))
    except TemplateError:
        return str(write(without_system(messages)))


def stop_token(base: Path, tokenizer: Any) -> int:
    """The token that ends an answer: the tokenizer's, or else the first that the generation config names."""
    configured: Any = None
    if (base / "generation_config.json").exists():
        configured = GenerationConfig.from_pretrained(base, local_files_only=True).eos_token_id
    several = configured if isinstance(configured, list) else [configured]
    for token in [tokenizer.eos_token_id, *several]:
        if token is not None:
            return int(token)
    raise TrainingError("the base's tokenizer names no end token", "without one no answer can end")
