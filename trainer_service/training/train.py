"""One weight update, from samples to a verified adapter. A program of its own process; reads top to bottom.

    python -m trainer_service.training.train SPEC                          one process, no port
    deepspeed --module trainer_service.training.train SPEC                 as many as the launcher starts

SPEC is a TrainSpec as JSON. A killed training resumes from its last complete checkpoint when run again.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from shared.children import die_with_parent
from shared.errors import TrainingError
from trainer_service.algorithms import find
from trainer_service.algorithms.algorithm import Algorithm, spread
from trainer_service.batch import teaching, within_limit
from trainer_service.recipe import Recipe, is_learned, read_size, recipe
from trainer_service.specs import TrainingSample, TrainResult, TrainSpec
from trainer_service.training import checkpoints, curves, serving
from trainer_service.training.adapter import fingerprint_of, write_adapter
from trainer_service.training.demonstrations import prompts_an_answer, read_demonstrations
from trainer_service.training.device import Precision, check_device, choose_precision, loss_scale
from trainer_service.training.engine import (
    gather_adapter,
    machine_busy,
    make_engine,
    start_processes,
    step_was_applied,
)
from trainer_service.training.guards import BadSteps, check_divergence, has_diverged
from trainer_service.training.lessons import Lesson, Unit, pack, prepare, step_batches, unprepared
from trainer_service.training.model import divergence_from_base, load_policy
from trainer_service.training.reading.attention import is_packed
from trainer_service.training.reading.projections import exact_projections
from trainer_service.training.steps import WATCHED, Objective, free_count, take_step
from trainer_service.training.values import add_value_head

log = logging.getLogger(__name__)

DIVERGENCE_SAMPLES = 32  # on which the divergence from the base is measured over the whole vocabulary


@dataclass(frozen=True)
class Batch:
    """What one update learns from."""

    samples: list[TrainingSample]
    weights: list[float]
    too_long: int  # samples that were left out


def main(arguments: list[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    spec_path = next(argument for argument in arguments if not argument.startswith("--"))
    spec = TrainSpec.model_validate_json(Path(spec_path).read_bytes())
    die_with_parent()  # also where the parent is the launcher
    torch.set_num_threads(spec.threads)
    try:
        check_device()
        start_processes()
        result = train(spec)
    except TrainingError as error:
        result = TrainResult(refusal=str(error))
    if not dist.is_initialized() or dist.get_rank() == 0:
        temporary = spec.result.with_suffix(".tmp")
        temporary.write_text(result.model_dump_json(), encoding="utf-8")
        temporary.replace(spec.result)
    if dist.is_initialized():
        dist.destroy_process_group()


def train(spec: TrainSpec) -> TrainResult:
    started = time.monotonic()
    torch.manual_seed(spec.seed)
    algorithm, precision = find(spec.algorithm), choose_precision(spec)
    batch = read_batch(spec, algorithm)
    size = read_size(spec.base)
    prompts = prompts_an_answer(batch.samples) if algorithm.imitates else 1
    chosen = recipe(
        algorithm,
        max(1, len(batch.samples) // algorithm.unit // prompts),
        size.hidden,
        prompts=prompts,
        steps=spec.steps,
        batch=spec.batch,
        learning_rate=spec.learning_rate,
    )
    policy = load_policy(spec, precision)
    if algorithm.loss == "proximal":
        add_value_head(policy, size.hidden)
    engine = make_engine(policy, spec, chosen.learning_rate, loss_scale(precision.base))
    lessons, gap = read_lessons(engine, batch, algorithm, spec)
    metrics = {"samples": float(len(batch.samples)), "too_long": float(batch.too_long)} | gap.metrics()
    metrics |= learn(engine, lessons, algorithm, chosen, spec, loss_scale(precision.base))
    metrics |= publish(engine, batch.samples, replace(chosen, steps=int(metrics["steps"])), spec, precision)
    train_s = time.monotonic() - started
    return TrainResult(
        metrics=metrics,
        curves=curves.read(curve_file(spec), WATCHED),
        train_s=train_s,
        gpu_s=train_s * dist.get_world_size() if torch.cuda.is_available() else 0.0,
    )


def read_batch(spec: TrainSpec, algorithm: Algorithm) -> Batch:
    """Raises TrainingError where there is nothing to learn from, or where it does not belong to this base."""
    if algorithm.imitates:
        if spec.demonstrations is None:
            raise TrainingError(f"{spec.algorithm} needs demonstrations", "the task's verifier offers none")
        everything = read_demonstrations(spec.demonstrations, spec.base, spec.chat_template)
    else:
        everything = [TrainingSample.model_validate(row) for row in json.loads(spec.samples.read_bytes())]
    size = read_size(spec.base)
    kept, too_long = within_limit(everything, min(spec.max_tokens, size.context))
    highest = max((token for s in kept for token in (*s.prompt_ids, *s.token_ids)), default=0)
    if size.vocabulary and highest >= size.vocabulary:
        raise TrainingError(f"token {highest} is outside of the base's vocabulary of {size.vocabulary}")
    samples, weights = teaching(kept, spec.algorithm)
    return Batch(samples, weights, too_long)


def read_lessons(
    engine: Any, batch: Batch, algorithm: Algorithm, spec: TrainSpec
) -> tuple[list[Lesson], serving.Gap]:
    if algorithm.loss == "cloning":
        return unprepared(batch.samples, batch.weights), serving.Gap()
    lessons, gap = prepare(
        engine,
        batch.samples,
        batch.weights,
        spec.micro_tokens,
        fresh=spec.adapter is None,
        with_base=spec.kl_weight != 0,
    )
    serving.check(gap, spec.max_gap)
    return lessons, gap


def learn(
    engine: Any, lessons: list[Lesson], algorithm: Algorithm, chosen: Recipe, spec: TrainSpec, scale: float
) -> dict[str, float]:
    """From the last complete checkpoint on, until nothing is left to learn or the policy diverges."""
    objective = Objective(
        loss=algorithm.loss,
        kl_weight=spec.kl_weight * spread([lesson.weight for lesson in lessons]),
        mean_length=sum(map(free_count, lessons)) / len(lessons),
        micro_tokens=spec.micro_tokens,
        loss_scale=scale,
    )
    taken = checkpoints.resume(engine, spec.checkpoints)
    done = len(taken)
    log.info("%d samples that teach, %d steps, resuming after %d", len(lessons), chosen.steps, done)
    bad, started = BadSteps(), time.monotonic()
    for step, units in enumerate(
        step_batches(units_of(lessons, algorithm), chosen.batch, chosen.steps, spec.seed)
    ):
        if step < done:
            continue
        if is_learned(chosen, taken):
            log.info("the last %d steps found nothing left to learn", chosen.one_pass)
            break
        if has_diverged(algorithm.loss, taken, spec.max_kl):
            break
        watched = take_step(engine, units, objective)
        applied = step_was_applied(engine)
        bad.note(step, watched["loss"], applied)
        taken.append(watched)
        if dist.get_rank() == 0:
            left_s = (time.monotonic() - started) / (step + 1 - done) * (chosen.steps - step - 1)
            log.info("step %d of %d, %.0f s left: %s", step + 1, chosen.steps, left_s, in_words(watched))
            curves.write_progress(spec.result.with_name("progress.json"), step + 1, chosen.steps, left_s)
            if applied and all(map(math.isfinite, watched.values())):
                curves.append(curve_file(spec), step, watched)
        if checkpoints.is_due(step + 1, chosen.steps):
            checkpoints.save(engine, spec.checkpoints, taken)
    off = has_diverged(algorithm.loss, taken, spec.max_kl)
    kept = take_back(engine, taken, spec) if off else taken
    series = curves.read(curve_file(spec), WATCHED)["loss"] or (0.0,)
    return {
        "loss_first": series[0],
        "loss_last": series[-1],
        "steps": float(len(kept)),
        "taken_back": float(len(taken) - len(kept)),
        "bad_steps": float(bad.count),
    }


def take_back(
    engine: Any, taken: Sequence[Mapping[str, float]], spec: TrainSpec
) -> Sequence[Mapping[str, float]]:
    """Back to the last checkpoint before the step whose policy the last one met. Raises TrainingError where
    there is none."""
    kept = checkpoints.resume(engine, spec.checkpoints, most=len(taken) - 2)
    if not kept:
        raise TrainingError(
            f"the policy diverged within {len(taken)} steps: {taken[-1]['kl']:.3g} nats a token from "
            f"the base (at most {spec.max_kl:g})",
            "lower training.learning_rate",
        )
    log.info("the policy diverged: back to the one after %d steps of %d", len(kept), len(taken))
    return kept


def in_words(watched: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in watched.items())


def units_of(lessons: Sequence[Lesson], algorithm: Algorithm) -> list[Unit]:
    return [tuple(lessons[i : i + algorithm.unit]) for i in range(0, len(lessons), algorithm.unit)]


def publish(
    engine: Any,
    samples: Sequence[TrainingSample],
    chosen: Recipe,
    spec: TrainSpec,
    precision: Precision,
) -> dict[str, float]:
    """The adapter's folder, if the policy has not diverged and the adapter read back is the one trained."""
    kl = mean_divergence(engine, samples, spec.micro_tokens)
    check_divergence(kl, spec.max_kl)
    with machine_busy(), exact_projections(engine.module):
        fingerprint = fingerprint_of(engine.module, samples)
    adapter = gather_adapter(engine)
    engine.destroy()
    norm = 0.0
    if dist.get_rank() == 0:
        norm = write_adapter(spec, chosen, adapter, engine.module, fingerprint, precision)
    return {
        "kl_to_base": kl,
        "norm": norm,
        "batch": float(chosen.batch),
        "learning_rate": chosen.learning_rate,
    }


def mean_divergence(engine: Any, samples: Sequence[TrainingSample], micro_tokens: int) -> float:
    """KL(policy || base) a token, on a part of the samples spread over all of them. All ranks call it."""
    every = max(1, len(samples) // DIVERGENCE_SAMPLES)
    some = samples[::every][:DIVERGENCE_SAMPLES]
    policy, device = engine.module, engine.device
    parts = pack([(sample,) for sample in some], lambda sample: sample, micro_tokens, is_packed(policy))
    found = []
    for part in parts:
        with machine_busy():
            found.append(divergence_from_base(policy, [sample for (sample,) in part], device))
    return float(torch.cat(found).mean())


def curve_file(spec: TrainSpec) -> Path:
    return spec.result.with_name("curves.jsonl")


if __name__ == "__main__":
    main(sys.argv[1:])
