"""The seed model's tokenizer: byte-level BPE learned from the corpus, with role markers and a chat template.

A prompt and its answer are tokenized apart, here and wherever the model is asked: markers are special tokens,
so no merge ever crosses from one message into the next or from the prompt into the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

BOS, EOS, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True)
class Line:
    """One line of the corpus: what the scaffold asks, and an answer of the right form."""

    messages: tuple[dict[str, str], ...]
    answer: str


@dataclass(frozen=True)
class Example:
    """A line as token ids; the loss looks at answer_ids only."""

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]


def build_tokenizer(lines: list[Line], vocabulary: int) -> Any:
    """A tokenizer of at most `vocabulary` tokens, learned from every text of the lines."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BOS, EOS, PAD, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (text for line in lines for text in (*(m["content"] for m in line.messages), line.answer))
    inner.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=list(ROLES),
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def encode(tokenizer: Any, line: Line) -> Example:
    """The line's prompt up to the assistant's marker, and apart from it the answer with its end token."""
    prompt = tokenizer.apply_chat_template(line.messages, add_generation_prompt=True, tokenize=False)
    prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer_ids = tokenizer(line.answer, add_special_tokens=False)["input_ids"]
    return Example(tuple(prompt_ids), (*answer_ids, tokenizer.eos_token_id))
