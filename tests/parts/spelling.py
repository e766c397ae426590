"""A task with a known optimum for the trainer's tests: spell the word that belongs to a colour, three letters
out of eight. A reply earns the share of right letters. The model is random and tiny: it starts by guessing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from shared.messages.proposals import ChatMessage, Demonstration, Demonstrations
from trainer_service.specs import TrainingSample, TrainResult, TrainSpec
from trainer_service.training.train import train

WORDS = {"red": "abc", "green": "dad", "blue": "fee", "white": "hag"}
LETTERS = "abcdefgh"
SPECIAL = ["<pad>", "<end>", "<begin>"]
LENGTH = 3


def write_base(folder: Path, initializer_range: float = 0.2) -> Path:
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *WORDS, *LETTERS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    template = "{{ bos_token }} {% for m in messages %}{{ m['content'] }} {% endfor %}"
    PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="<end>",
        bos_token="<begin>",
        chat_template=template,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=32,
            initializer_range=initializer_range,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=2,
        )
    ).save_pretrained(folder)
    return folder


def demonstrations(copies: int = 16) -> Demonstrations:
    return Demonstrations(
        items=copies
        * tuple(
            Demonstration(
                instance_id=colour,
                messages=(ChatMessage(role="user", content=colour),),
                reply=" ".join(word),
            )
            for colour, word in WORDS.items()
        )
    )


def share_of_right_letters(colour: str, letters: str) -> float:
    return sum(a == b for a, b in zip(WORDS[colour], letters, strict=True)) / LENGTH


@dataclass(frozen=True)
class Speller:
    """A base and the adapters that are trained on it."""

    base: Path

    def sample(
        self, adapter: Path | None, count: int, seed: int, reward: Any = share_of_right_letters
    ) -> list[TrainingSample]:
        """`count` replies a colour, each with what it earns and the log-probabilities of its tokens."""
        tokenizer = AutoTokenizer.from_pretrained(self.base)
        model = AutoModelForCausalLM.from_pretrained(self.base).eval()
        policy = model if adapter is None else PeftModel.from_pretrained(model, adapter).eval()
        torch.manual_seed(seed)
        samples = []
        for colour in WORDS:
            prompt = tokenizer(f"<begin> {colour}", add_special_tokens=False)["input_ids"]
            ids_BT = torch.tensor([prompt] * count)
            logprobs = []
            for _ in range(LENGTH):
                with torch.no_grad():
                    logprob_BV = policy(input_ids=ids_BT).logits[:, -1].log_softmax(-1)
                token_B1 = torch.multinomial(logprob_BV.exp(), 1)
                logprobs.append(logprob_BV.gather(1, token_B1))
                ids_BT = torch.cat([ids_BT, token_B1], dim=1)
            served_BT = torch.cat(logprobs, dim=1)
            for row, served in zip(ids_BT[:, len(prompt) :].tolist(), served_BT.tolist(), strict=True):
                letters = "".join(t if len(t) == 1 else "?" for t in tokenizer.convert_ids_to_tokens(row))
                samples.append(
                    TrainingSample(
                        prompt_ids=tuple(prompt),
                        token_ids=tuple(row),
                        free=(True,) * LENGTH,
                        reward=reward(colour, letters),
                        group=colour,
                        served=tuple(served),
                    )
                )
        return samples

    def update(
        self, folder: Path, samples: list[TrainingSample], adapter: Path | None = None, **settings: Any
    ) -> TrainResult:
        """One weight update, into folder/adapter."""
        folder.mkdir(parents=True)
        (folder / "samples.json").write_text(json.dumps([s.model_dump(mode="json") for s in samples]))
        (folder / "demonstrations.json").write_text(demonstrations().model_dump_json())
        chosen = {
            "base": self.base,
            "algorithm": "grpo",
            "kl_weight": 0.01,
            "lora_rank": 8,
            "micro_tokens": 4096,
            "max_tokens": 32,
            "max_kl": 10.0,
            "max_gap": 0.25,
            "zero_stage": 0,
            "threads": 1,
            "seed": 0,
            "checkpoints": folder / "checkpoints",
        }
        return train(
            TrainSpec(
                adapter=adapter,
                samples=folder / "samples.json",
                demonstrations=folder / "demonstrations.json",
                out=folder / "adapter",
                result=folder / "result.json",
                name_prefix="run-g1",
                base_digest="b" * 64,
                **(chosen | settings),
            )
        )


def mean_reward(samples: list[TrainingSample]) -> float:
    return sum(sample.reward for sample in samples) / len(samples)
