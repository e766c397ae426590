"""The recipe of an update: steps, samples a step and learning rate, from the samples that teach and the
model's size, where the config does not set them. Light: reads the base's config.json and no weights.

The learning rate follows the hidden size as measured for LoRA by Thinking Machines ("LoRA Without Regret",
2025; tinker-cookbook's get_lr): 5e-4 * (2000 / hidden)^0.78. That gives 1.3e-3 for SmolLM2-135M (hidden 576)
and 4e-3 for a seed model (hidden 128), where 1e-3 and 5e-3 were found by hand.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ArtifactError
from trainer_service.algorithms.algorithm import Algorithm

RATE_AT_2000, EXPONENT, HIGHEST_RATE = 5e-4, 0.78, 1e-2
BATCHES = 12  # steps that one pass is cut into, where the samples allow
SMALLEST_BATCH, LARGEST_BATCH = 8, 64  # units (samples or pairs) a step
ENOUGH_STEPS = 48  # below that many, samples are passed over again: fewer hardly move a policy
LEARNED_LOSS = 0.01  # nats a token: right answers that are this likely teach nothing more
CONTEXT_UNKNOWN = 2048  # tokens, for a config without a limit


@dataclass(frozen=True)
class Size:
    """What a base's config.json states."""

    hidden: int
    context: int  # tokens
    vocabulary: int


@dataclass(frozen=True)
class Recipe:
    steps: int
    batch: int  # units a step
    learning_rate: float
    one_pass: int = 0  # steps of a pass that ends the training where it found nothing to learn; 0: none does


def read_size(base: Path) -> Size:
    """Raises ArtifactError where the folder's config.json names no hidden size."""
    config = json.loads((base / "config.json").read_bytes())
    config = config.get("text_config", config)
    hidden = config.get("hidden_size") or config.get("n_embd")
    if not hidden:
        raise ArtifactError(f"{base}/config.json names no hidden_size", "give a causal language model")
    context = config.get("max_position_embeddings") or config.get("n_positions") or CONTEXT_UNKNOWN
    return Size(hidden=int(hidden), context=int(context), vocabulary=int(config.get("vocab_size", 0)))


def recipe(
    algorithm: Algorithm,
    units: int,
    hidden: int,
    *,
    prompts: int = 1,
    steps: int = 0,
    batch: int = 0,
    learning_rate: float = 0.0,
) -> Recipe:
    """`units`: samples (or pairs) that teach; of right answers in several `prompts` each, the answers. What
    the caller gives other than 0 stands."""
    batch = min(units, batch or min(LARGEST_BATCH, max(SMALLEST_BATCH, units // BATCHES)))
    one_pass = math.ceil(units / batch)
    passes = min(algorithm.passes, max(1, math.ceil(ENOUGH_STEPS / one_pass)))
    return Recipe(
        steps=steps or math.ceil(passes * units / batch),
        batch=batch,
        learning_rate=learning_rate or algorithm.rate * rate_for(hidden),
        one_pass=prompts * one_pass if algorithm.imitates and not steps else 0,
    )


def is_learned(chosen: Recipe, taken: Sequence[Mapping[str, float]]) -> bool:
    """Whether the last pass over the demonstrations found nothing left to learn. `taken`: what was watched of
    each step."""
    last = [step["loss"] for step in taken[-chosen.one_pass :]] if chosen.one_pass else []
    return 0 < len(last) == chosen.one_pass and statistics.fmean(last) < LEARNED_LOSS


def rate_for(hidden: int) -> float:
    return min(HIGHEST_RATE, RATE_AT_2000 * math.pow(2000 / hidden, EXPONENT))
