"""What a handler and its child process tell each other: one JSON file each way. Light, so handlers import it.

A child reads its spec, works, and writes its result last: no result means that it did not get there.
"""

from __future__ import annotations

from pathlib import Path

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
    target_loss: float = 0.0  # stop early once the running loss is below; 0: take all steps
    hidden: int
    layers: int
    vocabulary: int
    seed: int = 0
    threads: int


class SeedResult(Spec):
    """Either the model stands in `out`, or `refusal` says why there is none."""

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
    """Either the model stands in `out`, or `refusal` says why there is none."""

    refusal: str = ""


class TrainingSample(Spec):
    """One reply to learn from: what was asked, what was said, which tokens were free, what it earned."""

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    free: tuple[bool, ...]
    reward: float
    group: str  # samples that were asked the same thing compare with each other


class TrainSpec(Spec):
    """One weight update, whole: a child needs nothing else, neither store nor ledger."""

    base: Path  # the base model's folder
    adapter: Path | None  # the adapter to start from; None: from zero
    samples: Path  # a JSON list of TrainingSample
    out: Path  # becomes the adapter's folder
    result: Path  # a TrainResult
    checkpoints: Path
    name_prefix: str  # of the adapter's name
    base_digest: str
    algorithm: str
    steps: int
    learning_rate: float
    kl_weight: float
    lora_rank: int
    batch: int  # samples a step; fewer where there are fewer
    micro_batch: int  # samples a forward pass of one process
    zero_stage: int
    threads: int
    seed: int


class TrainResult(Spec):
    """Either the adapter stands in `out`, or `refusal` says why there is none."""

    refusal: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    train_s: float = 0.0
    gpu_s: float = 0.0
