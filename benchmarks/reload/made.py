"""Adapters for the reload benchmark: signed bundles on one small random base, each with the greedy answer
that transformers and PEFT give under it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from Crypto.PublicKey.ECC import EccKey
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.trainer.contenders import base_folder
from shared.messages.records import Release
from shared.store.signing import Origin
from shared.store.store import Store, read_folder
from trainer_service.publish import publish
from trainer_service.training.model import sequence_logprobs

RUN, BASE, REPLY_TOKENS = "reload", "b" * 64, 4
QUESTION = [{"role": "user", "content": "which release are you"}]
NOISE = 0.2  # standard deviation of the adapters' B, so that each answers otherwise


@dataclass(frozen=True)
class Made:
    """What is published when its turn comes: until then the store does not have it."""

    name: str
    files: dict[str, bytes]
    text: str  # the greedy answer under it

    def publish(self, store: Store, key: EccKey) -> Release:
        return Release(base=BASE, harness="h", adapter=publish(self.files, Origin(RUN, BASE), store, key))


def make_base(folder: Path) -> Path:
    torch.manual_seed(0)
    base = base_folder({"base": "seed", "folder": str(folder)})
    model = AutoModelForCausalLM.from_pretrained(base)
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.1)  # not near uniform: rounding changes no greedy answer
    model.save_pretrained(base)
    return base


def make_adapters(base: Path, folder: Path, count: int) -> Iterator[Made]:
    tokenizer = AutoTokenizer.from_pretrained(base)
    prompt: Any = tokenizer.apply_chat_template(
        QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    for number in range(count):
        torch.manual_seed(1000 + number)
        model = AutoModelForCausalLM.from_pretrained(base).eval()
        config = LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])
        policy = get_peft_model(model, config).eval()
        for tensor, weight in policy.named_parameters():
            if "lora_B" in tensor:
                torch.nn.init.normal_(weight, std=NOISE)
        place = folder / f"{number}"
        policy.save_pretrained(place)
        ids = list(range(3, 40))
        logprobs = sequence_logprobs(policy, ids)
        with policy.disable_adapter():
            base_logprobs = sequence_logprobs(policy, ids)
        mark = {"token_ids": ids, "logprobs": logprobs, "base_logprobs": base_logprobs}
        name = f"{RUN}-g{number}-x"
        card = {"name": name, "base": BASE, "fingerprint": mark, "norm": 1.0}
        written = policy.generate(**prompt, max_new_tokens=REPLY_TOKENS, do_sample=False)[0]
        text = tokenizer.decode(written[prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        files = read_folder(place) | {"ratchet.json": json.dumps(card).encode()}
        files.pop("README.md", None)
        yield Made(name, files, text)
