"""One contender of the trainer's benchmark: `python -m benchmarks.trainer.contenders NAME SPEC`; prints JSON.

All train the same LoRA on the same samples: random tokens, lengths between half and all of what the settings
give, since the speed does not depend on what the tokens mean.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from shared.messages.records import JsonObject
from trainer_service.base.pretrained import model_folder
from trainer_service.base.tokenizer import Line, build_tokenizer
from trainer_service.specs import TrainingSample, TrainSpec
from trainer_service.training.device import choose_precision
from trainer_service.training.engine import make_engine, start_processes
from trainer_service.training.lessons import unprepared
from trainer_service.training.model import load_policy
from trainer_service.training.steps import Objective, take_step

SEED_SIZES = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4}
Contender = Callable[[Path, list[TrainingSample], JsonObject], list[float]]  # seconds of each step
CACHE = Path.home() / ".cache" / "ratchet"


def main(contender: Contender, path: Path) -> JsonObject:
    spec = json.loads(path.read_text(encoding="utf-8"))
    torch.set_num_threads(spec["threads"])
    base = base_folder(spec)
    samples = draw_samples(spec, AutoConfig.from_pretrained(base).vocab_size)
    times_s = contender(base, samples, spec)
    tokens = sum(sample.length for sample in samples[spec["batch"] :])
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"tokens_per_s": tokens / sum(times_s[1:]), "peak_mb": round(peak_kb / 1024)}


def base_folder(spec: JsonObject) -> Path:
    if spec["base"] != "seed":
        return model_folder(spec["base"], CACHE, spec["threads"])
    folder = Path(spec["folder"]) / "base"
    config = LlamaConfig(vocab_size=384, max_position_embeddings=4096, tie_word_embeddings=True, **SEED_SIZES)
    LlamaForCausalLM(config).save_pretrained(folder)
    build_tokenizer([Line(({"role": "user", "content": "x"},), "y")], 384).save_pretrained(folder)
    return folder


def draw_samples(spec: JsonObject, vocabulary: int) -> list[TrainingSample]:
    """`batch` for each step; `shared` samples in a row have one prompt, and all prompts begin alike."""
    draw = random.Random(0)

    def ids(most: int) -> tuple[int, ...]:
        return tuple(draw.randrange(3, vocabulary) for _ in range(draw.randint(most // 2, most)))

    opening = tuple(draw.randrange(3, vocabulary) for _ in range(spec["opening"]))
    samples = []
    prompt: tuple[int, ...] = ()
    for number in range(spec["batch"] * spec["steps"]):
        prompt = prompt if number % spec["shared"] else opening + ids(spec["prompt_tokens"] - len(opening))
        reply = ids(spec["reply_tokens"])
        free = (True,) * len(reply)
        samples.append(TrainingSample(prompt_ids=prompt, token_ids=reply, free=free, reward=1.0, group="g"))
    return samples


def lora(spec: JsonObject) -> LoraConfig:
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=spec["rank"],
        lora_alpha=2 * spec["rank"],
        lora_dropout=0.0,
        target_modules="all-linear",
    )


def ratchet(base: Path, samples: list[TrainingSample], spec: JsonObject) -> list[float]:
    start_processes()
    folder = Path(spec["folder"])
    update = TrainSpec(
        base=base,
        adapter=None,
        samples=folder,
        out=folder,
        result=folder,
        checkpoints=folder,
        name_prefix="b",
        base_digest="b",
        algorithm="supervised",
        kl_weight=0.0,
        lora_rank=spec["rank"],
        micro_tokens=4096,
        max_tokens=4096,
        max_kl=10.0,
        max_gap=1.0,
        zero_stage=0,
        threads=spec["threads"],
        seed=0,
        precision=spec["precision"],
    )
    engine = make_engine(load_policy(update, choose_precision(update)), update, 1e-3)
    lessons = unprepared(samples, [1.0] * len(samples))
    objective = Objective("cloning", 0.0, 1.0, update.micro_tokens, 1.0)

    def step(start: int) -> None:
        take_step(engine, [(lesson,) for lesson in lessons[start : start + spec["batch"]]], objective)

    return timed(step, spec)


def plain(base: Path, samples: list[TrainingSample], spec: JsonObject) -> list[float]:
    """What one writes by hand: a padded batch, all logits, cross-entropy on the replies."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, spec["precision"]))
    policy = get_peft_model(model, lora(spec))
    optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=1e-3)

    def step(start: int) -> None:
        chosen = samples[start : start + spec["batch"]]
        width = max(sample.length for sample in chosen)
        tokens_BT = torch.zeros(len(chosen), width, dtype=torch.long)
        labels_BT = torch.full_like(tokens_BT, -100)
        for row, sample in enumerate(chosen):
            tokens_BT[row, : sample.length] = torch.tensor((*sample.prompt_ids, *sample.token_ids))
            labels_BT[row, len(sample.prompt_ids) : sample.length] = torch.tensor(sample.token_ids)
        loss = policy(input_ids=tokens_BT, labels=labels_BT, use_cache=False).loss
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return timed(step, spec)


def timed(step: Any, spec: JsonObject) -> list[float]:
    times_s = []
    for number in range(spec["steps"]):
        started = time.perf_counter()
        step(number * spec["batch"])
        times_s.append(time.perf_counter() - started)
    return times_s


if __name__ == "__main__":
    print(json.dumps(main({"ratchet": ratchet, "torch": plain}[sys.argv[1]], Path(sys.argv[2]))))
