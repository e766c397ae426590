"""The files that a handler and its child process exchange: one JSON file each way. Light, so handlers import
it.

A child reads its spec, works, and writes its result last: no result means that it did not finish.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SeedSpec(Spec):
    """How to build a seed model. `corpus` is a program that prints lines (argv: count seed)."""

    corpus: Path
    out: Path  # becomes a folder in Hugging Face format
    result: Path  # a SeedResult
    lines: int
    steps: int
    batch: int  # sequences a step
    target_loss: float = 0.0  # stop early once the running loss is below; 0: take all steps
    hidden: int
    layers: int
    vocabulary: int
    seed: int = 0


class SeedResult(Spec):
    """Either the model stands in `out`, or `refusal` is the reason why not."""

    refusal: str = ""
    steps: int = 0
    loss: float = 0.0  # mean of the last steps, in nats a token
    parameters: int = 0
    train_s: float = 0.0


class GgufSpec(Spec):
    """A GGUF file to convert into a folder in Hugging Face format."""

    file: Path
    out: Path
    result: Path  # a GgufResult
    threads: int


class GgufResult(Spec):
    """Either the model stands in `out`, or `refusal` is the reason why not."""

    refusal: str = ""


class TrainingSample(Spec):
    """One reply to learn from: what was asked, what was answered, which tokens were free, what it earned."""

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    free: tuple[bool, ...]
    reward: float
    group: str  # samples that started alike compare with each other
    baseline: float | None = (
        None  # what its parent scored: the measure of a sample that is alone in its group
    )
    served: tuple[
        float, ...
    ] = ()  # log-probability of each token, as the serving engine reported it; empty: unknown
    temperature: float = 1.0  # at which it was drawn; 1.0 also for greedy replies

    @property
    def length(self) -> int:
        """Tokens of prompt and answer together."""
        return len(self.prompt_ids) + len(self.token_ids)


Precision = Literal["float32", "bfloat16", "float16"]


class TrainSpec(Spec):
    """One weight update, whole: a child needs nothing else, neither store nor ledger."""

    base: Path  # the base model's folder
    adapter: Path | None  # the adapter to start from; None: from zero
    samples: Path  # a JSON list of TrainingSample; empty where the algorithm imitates
    demonstrations: Path | None = None  # Demonstrations as JSON, for an algorithm that imitates
    chat_template: dict[str, Any] = Field(default_factory=dict)  # arguments that the model is asked with
    out: Path  # becomes the adapter's folder
    result: Path  # a TrainResult
    checkpoints: Path
    name_prefix: str  # of the adapter's name
    base_digest: str
    algorithm: str
    steps: int = 0  # 0: by recipe.py
    learning_rate: float = 0.0  # 0: by recipe.py
    batch: int = 0  # samples a step; 0: by recipe.py
    kl_weight: float
    lora_rank: int
    lora_targets: tuple[str, ...] = ()  # of a fresh adapter; empty: all projections
    micro_tokens: int  # of one forward pass of one process, padding included
    max_tokens: int  # of a prompt and its answer; longer samples are left out
    max_kl: float  # nats a token between the base and what may be published
    max_gap: float  # mean nats a token between the serving engine's log-probabilities and ours
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    gradient_checkpointing: bool = False
    zero_stage: int
    threads: int
    seed: int


class TrainResult(Spec):
    """Either the adapter stands in `out`, or `refusal` is the reason why not."""

    refusal: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    curves: dict[str, tuple[float, ...]] = Field(default_factory=dict)  # one value a step
    train_s: float = 0.0
    gpu_s: float = 0.0
