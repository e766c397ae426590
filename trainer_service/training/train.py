"""One weight update, from samples to a verified adapter. A program of its own process; reads top to bottom.

    python -m trainer_service.training.train SPEC                          one process, no port
    deepspeed --module trainer_service.training.train SPEC                 as many as the launcher is told

SPEC is a TrainSpec as JSON. A killed training goes on from its last complete checkpoint when run again.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from shared.children import die_with_parent
from shared.errors import TrainingError
from trainer_service.algorithms import find
from trainer_service.batch import teaching
from trainer_service.specs import TrainingSample, TrainResult, TrainSpec
from trainer_service.training import checkpoints
from trainer_service.training.adapter import fingerprint_of, write_adapter
from trainer_service.training.engine import (
    gather_adapter,
    machine_busy,
    make_engine,
    mean_over_ranks,
    start_processes,
    step_was_applied,
)
from trainer_service.training.guards import BadSteps
from trainer_service.training.loss import Terms, kl_to_base, total_loss
from trainer_service.training.model import collate, load_policy, token_logprobs

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lesson:
    """A sample with its weight and what the two fixed policies said of its answer, token by token."""

    sample: TrainingSample
    weight: float
    behaviour: torch.Tensor
    base: torch.Tensor


def main(arguments: list[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    spec_path = next(argument for argument in arguments if not argument.startswith("--"))
    spec = TrainSpec.model_validate_json(Path(spec_path).read_bytes())
    die_with_parent()  # also where the parent is the launcher
    torch.set_num_threads(spec.threads)
    start_processes()
    try:
        result = train(spec)
    except TrainingError as error:
        result = TrainResult(refusal=str(error))
    if dist.get_rank() == 0:
        temporary = spec.result.with_suffix(".tmp")
        temporary.write_text(result.model_dump_json())
        temporary.replace(spec.result)
    dist.destroy_process_group()


def train(spec: TrainSpec) -> TrainResult:
    started = time.monotonic()
    torch.manual_seed(spec.seed)
    everything = [TrainingSample.model_validate(row) for row in json.loads(spec.samples.read_bytes())]
    samples, weights = teaching(everything, spec.algorithm)
    batch = min(spec.batch, len(samples))
    micro_batches = -(-batch // (spec.micro_batch * dist.get_world_size()))
    engine = make_engine(load_policy(spec), spec, micro_batches)
    with machine_busy():
        lessons = prepare(engine, samples, weights, spec)
    done = checkpoints.resume(engine, spec.checkpoints)
    log.info("%d samples that teach, %d steps, resuming after %d", len(samples), spec.steps, done)

    bad = BadSteps()
    losses: list[float] = []
    for step, chosen in enumerate(step_batches(lessons, batch, spec)):
        if step < done:
            continue
        with machine_busy():
            loss = take_step(engine, slices(chosen, micro_batches), spec)
        bad.note(step, loss, step_was_applied(engine))
        checkpoints.save(engine, spec.checkpoints, step + 1)
        log.info("step %d of %d: loss %.4f", step + 1, spec.steps, loss)
        losses.append(loss)

    with machine_busy():
        kl = mean_kl(engine, lessons, spec)
        fingerprint = fingerprint_of(engine.module, samples)
    adapter = gather_adapter(engine)
    engine.destroy()
    norm = write_adapter(spec, adapter, engine.module, fingerprint) if dist.get_rank() == 0 else 0.0
    metrics = {
        "samples": float(len(samples)),
        "loss_first": losses[0] if losses else 0.0,
        "loss_last": losses[-1] if losses else 0.0,
        "kl_to_base": kl,
        "norm": norm,
        "bad_steps": float(bad.count),
    }
    train_s = time.monotonic() - started
    gpus = dist.get_world_size() if torch.cuda.is_available() else 0
    return TrainResult(metrics=metrics, train_s=train_s, gpu_s=train_s * gpus)


def prepare(
    engine: Any, samples: list[TrainingSample], weights: list[float], spec: TrainSpec
) -> list[Lesson]:
    """What the sampling policy and the bare base say of every answer, before the first step changes one."""
    behaviour = answer_logprobs(engine, samples, spec)
    if spec.adapter is None:
        base = behaviour  # a fresh adapter is zero
    else:
        with engine.module.disable_adapter():
            base = answer_logprobs(engine, samples, spec)
    return [Lesson(*row) for row in zip(samples, weights, behaviour, base, strict=True)]


@torch.no_grad()
def answer_logprobs(engine: Any, samples: list[TrainingSample], spec: TrainSpec) -> list[torch.Tensor]:
    """One vector a sample, of its answer's length."""
    vectors = []
    for start in range(0, len(samples), spec.micro_batch):
        batch = collate(samples[start : start + spec.micro_batch], engine.device)
        vectors += batch.take(token_logprobs(engine, batch))
    return vectors


def step_batches(lessons: list[Lesson], batch: int, spec: TrainSpec) -> Iterator[list[Lesson]]:
    """The lessons of each step: passes over all of them, each in another order, cut into batches."""
    order = random.Random(spec.seed)
    waiting: list[Lesson] = []
    for _ in range(spec.steps):
        while len(waiting) < batch:
            waiting += order.sample(lessons, len(lessons))
        yield waiting[:batch]
        waiting = waiting[batch:]


def slices(chosen: list[Lesson], micro_batches: int) -> list[list[Lesson]]:
    """This rank's micro-batches, like lengths together. One that would be empty gets a silent lesson, since
    every rank must make the same number of passes."""
    count = micro_batches * dist.get_world_size()
    by_length = sorted(chosen, key=lambda x: len(x.sample.prompt_ids) + len(x.sample.token_ids))
    size, extra = divmod(len(by_length), count)
    parts, start = [], 0
    for index in range(count):
        end = start + size + (index < extra)
        parts.append(by_length[start:end] or [silent(by_length[0])])
        start = end
    return parts[dist.get_rank() :: dist.get_world_size()]


def silent(lesson: Lesson) -> Lesson:
    """The same lesson with no free token: it adds nothing to any loss."""
    mute = lesson.sample.model_copy(update={"free": (False,) * len(lesson.sample.free)})
    return replace(lesson, sample=mute)


def take_step(engine: Any, parts: Sequence[list[Lesson]], spec: TrainSpec) -> float:
    """One optimizer step over all ranks' parts; returns the loss per free token."""
    objective = find(spec.algorithm).objective
    free_tokens = mean_over_ranks(sum(sum(x.sample.free) for part in parts for x in part), engine.device)
    loss_sum = 0.0
    for part in parts:
        batch = collate([x.sample for x in part], engine.device)
        loss = total_loss(objective, terms_of(engine, batch, part), spec.kl_weight) / free_tokens
        engine.backward(loss, scale_wrt_gas=False)  # ranks are averaged, hence the mean over ranks above
        engine.step()
        loss_sum += float(loss.detach())
    return mean_over_ranks(loss_sum, engine.device)


def terms_of(engine: Any, batch: Any, part: list[Lesson]) -> Terms:
    return Terms(
        policy_BK=token_logprobs(engine, batch),
        behaviour_BK=batch.place([x.behaviour for x in part]),
        base_BK=batch.place([x.base for x in part]),
        free_BK=batch.free_BK,
        weight_B=torch.tensor([x.weight for x in part], device=engine.device),
    )


@torch.no_grad()
def mean_kl(engine: Any, lessons: list[Lesson], spec: TrainSpec) -> float:
    """How far the adapter has moved from the base, per free token of what it learned from."""
    total, tokens = 0.0, 0.0
    for start in range(0, len(lessons), spec.micro_batch):
        part = lessons[start : start + spec.micro_batch]
        batch = collate([x.sample for x in part], engine.device)
        total += float((kl_to_base(terms_of(engine, batch, part)) * batch.free_BK).sum())
        tokens += float(batch.free_BK.sum())
    return total / tokens


if __name__ == "__main__":
    main(sys.argv[1:])
