"""Builds the seed model: a small Llama that has learned the form of answers from a task's seed corpus.

    python -m trainer_service.base.seed_model SPEC     (a SeedSpec as JSON)

It takes the place of a pretrained model. Ends by steps or by loss, never by the clock; the same spec
gives the same weights.
"""

from __future__ import annotations

import json
import logging
import math
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from shared.box.machine_lock import busy
from shared.errors import TrainingError
from trainer_service.base.tokenizer import Example, Line, build_tokenizer, encode
from trainer_service.specs import SeedResult, SeedSpec

log = logging.getLogger(__name__)

PEAK_RATE, WARM_UP = 6e-3, 20
MAX_POSITIONS = 4096
CORPUS_TIMEOUT_S = 300
LOSS_WINDOW = 10  # steps that the reported loss averages


def main(arguments: list[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    spec = SeedSpec.model_validate_json(Path(arguments[0]).read_bytes())
    try:
        result = build(spec)
    except TrainingError as error:
        result = SeedResult(refusal=str(error))
    temporary = spec.result.with_suffix(".tmp")
    temporary.write_text(result.model_dump_json(), encoding="utf-8")
    temporary.replace(spec.result)


def build(spec: SeedSpec) -> SeedResult:
    """The model's folder at spec.out, which must not exist yet."""
    started = time.monotonic()
    torch.set_num_threads(1)  # on so small a model a second thread costs more than it gains
    torch.manual_seed(spec.seed)
    lines = read_corpus(spec)
    tokenizer = build_tokenizer(lines, spec.vocabulary)
    examples = [encode(tokenizer, line) for line in lines]
    model = new_model(spec, tokenizer)
    steps, loss = fit(model, examples, spec)
    model.save_pretrained(spec.out)
    tokenizer.save_pretrained(spec.out)
    parameters = sum(p.numel() for p in model.parameters())
    return SeedResult(steps=steps, loss=loss, parameters=parameters, train_s=time.monotonic() - started)


def read_corpus(spec: SeedSpec) -> list[Line]:
    """What the task's corpus program prints. Raises TrainingError where it fails or prints nothing."""
    command = [sys.executable, str(spec.corpus), str(spec.lines), str(spec.seed)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=CORPUS_TIMEOUT_S)
    if done.returncode != 0:
        raise TrainingError(f"the seed corpus {spec.corpus.name} failed: {done.stderr.strip()[-500:]}")
    rows = [json.loads(row) for row in done.stdout.split("\n") if row.strip()]
    if not rows:
        raise TrainingError(f"the seed corpus {spec.corpus.name} printed no lines")
    return [Line(tuple(row["messages"]), row["answer"]) for row in rows]


def new_model(spec: SeedSpec, tokenizer: Any) -> Any:
    """A Llama with random weights, tied embeddings and heads of 32."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=spec.hidden,
        intermediate_size=3 * spec.hidden,
        num_hidden_layers=spec.layers,
        num_attention_heads=max(1, spec.hidden // 32),
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def fit(model: Any, examples: list[Example], spec: SeedSpec) -> tuple[int, float]:
    """AdamW with warm-up and cosine; returns the steps taken and the loss at the end."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.95), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, spec.steps))
    losses: list[float] = []
    for batch in batches(examples, spec):
        with busy():
            loss = answer_loss(model, batch)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        schedule.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise TrainingError(f"the seed model's loss is {losses[-1]} at step {len(losses)}")
        if len(losses) % 20 == 0:
            log.info("seed model: step %d of %d, loss %.3f", len(losses), spec.steps, recent(losses))
        if recent(losses) < spec.target_loss:
            break
    return len(losses), recent(losses)


def recent(losses: list[float]) -> float:
    window = losses[-LOSS_WINDOW:]
    return sum(window) / len(window)


def rate_at(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine from 1 to 0.05, as a share of the peak rate."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    done = (step - WARM_UP) / max(1, steps - WARM_UP)
    return 0.05 + 0.475 * (1 + math.cos(math.pi * min(1.0, done)))


def batches(examples: list[Example], spec: SeedSpec) -> Iterator[list[Example]]:
    """`steps` batches, reshuffled every epoch; sequences of like length go together, so little is padding."""
    order = random.Random(spec.seed)
    given = 0
    while given < spec.steps:
        shuffled = order.sample(examples, len(examples))
        by_length = sorted(shuffled, key=lambda e: len(e.prompt_ids) + len(e.answer_ids))
        epoch = [by_length[i : i + spec.batch] for i in range(0, len(by_length), spec.batch)]
        order.shuffle(epoch)
        for batch in epoch[: spec.steps - given]:
            yield batch
            given += 1


def answer_loss(model: Any, batch: list[Example]) -> torch.Tensor:
    """Cross-entropy on answer tokens. Padding stands on the right, which causal attention ignores."""
    width = max(len(e.prompt_ids) + len(e.answer_ids) for e in batch)
    tokens_BT = torch.zeros(len(batch), width, dtype=torch.long)
    answer_BT = torch.zeros(len(batch), width, dtype=torch.bool)
    for row, example in enumerate(batch):
        start, end = len(example.prompt_ids), len(example.prompt_ids) + len(example.answer_ids)
        tokens_BT[row, :end] = torch.tensor((*example.prompt_ids, *example.answer_ids))
        answer_BT[row, start:end] = True
    hidden_BTH = model.model(input_ids=tokens_BT, use_cache=False).last_hidden_state
    asked_BT = answer_BT[:, 1:]
    logits_NV = model.lm_head(hidden_BTH[:, :-1][asked_BT])
    return cross_entropy(logits_NV, tokens_BT[:, 1:][asked_BT])


if __name__ == "__main__":
    main(sys.argv[1:])
