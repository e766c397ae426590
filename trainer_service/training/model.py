"""The policy: a frozen base model with a LoRA adapter, and the log-probabilities that it gives to tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from trainer_service.specs import TrainingSample, TrainSpec


@dataclass(frozen=True)
class Batch:
    """Samples side by side, padded on the right (causal attention never looks there).

    The last K positions hold all answers; `answers` tells where each one stands among them.
    """

    tokens_BT: torch.Tensor
    free_BK: torch.Tensor  # 1.0 where a free token of an answer stands
    answers: tuple[slice, ...]

    @property
    def kept(self) -> int:
        return self.free_BK.shape[1]

    def place(self, vectors: Sequence[torch.Tensor]) -> torch.Tensor:
        """One vector of answer length a sample, laid where its answer stands: axes BK."""
        placed_BK = torch.zeros_like(self.free_BK)
        for row, (where, vector) in enumerate(zip(self.answers, vectors, strict=True)):
            placed_BK[row, where] = vector
        return placed_BK

    def take(self, values_BK: torch.Tensor) -> list[torch.Tensor]:
        """The other way round: each sample's answer cut out."""
        return [values_BK[row, where] for row, where in enumerate(self.answers)]


def load_base(folder: Path) -> Any:
    """The base model in float32, ready for evaluation."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def load_policy(spec: TrainSpec) -> Any:
    """Base and trainable adapter: the release's own, or a fresh one on all projections."""
    base = load_base(spec.base)
    if spec.adapter is not None:
        return PeftModel.from_pretrained(base, spec.adapter, is_trainable=True).eval()
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=spec.lora_rank,
        lora_alpha=2 * spec.lora_rank,
        lora_dropout=0.0,
        target_modules="all-linear",  # attention and MLP projections; peft leaves the head out
    )
    return get_peft_model(base, config).eval()


def trainable(policy: Any) -> dict[str, Any]:
    """The adapter's parameters by name."""
    return {name: weight for name, weight in policy.named_parameters() if weight.requires_grad}


def collate(samples: Sequence[TrainingSample], device: torch.device) -> Batch:
    starts = [len(sample.prompt_ids) for sample in samples]
    ends = [start + len(sample.token_ids) for start, sample in zip(starts, samples, strict=True)]
    width, first = max(ends), min(starts)
    tokens_BT = torch.zeros(len(samples), width, dtype=torch.long)
    free_BT = torch.zeros(len(samples), width)
    for row, sample in enumerate(samples):
        tokens_BT[row, : ends[row]] = torch.tensor((*sample.prompt_ids, *sample.token_ids))
        free_BT[row, starts[row] : ends[row]] = torch.tensor(sample.free, dtype=torch.float32)
    answers = tuple(slice(start - first, end - first) for start, end in zip(starts, ends, strict=True))
    return Batch(tokens_BT.to(device), free_BT[:, first:].to(device), answers)


def token_logprobs(policy: Any, batch: Batch) -> torch.Tensor:
    """log p of every kept token given all before it (axes BK). The head runs on kept positions only."""
    tokens_BT, kept = batch.tokens_BT, batch.kept
    logits_BKV = policy(
        input_ids=tokens_BT,
        use_cache=False,
        logits_to_keep=kept + 1,
    ).logits[:, :-1]
    targets_BK1 = tokens_BT[:, -kept:].unsqueeze(-1)
    chosen_BK: torch.Tensor = logits_BKV.gather(-1, targets_BK1).squeeze(-1).float()
    total_BK: torch.Tensor = logits_BKV.float().logsumexp(-1)
    return chosen_BK - total_BK


def sequence_logprobs(policy: Any, token_ids: Sequence[int]) -> list[float]:
    """log p of token_ids[1:], as an endpoint's prompt_logprobs gives them."""
    with torch.no_grad():
        device = next(policy.parameters()).device
        tokens_1T = torch.tensor([list(token_ids)], device=device)
        logits_TV = policy(input_ids=tokens_1T, use_cache=False).logits[0, :-1].float()
        targets_T1 = tokens_1T[0, 1:].unsqueeze(-1)
        return [float(p) for p in logits_TV.log_softmax(-1).gather(-1, targets_T1).squeeze(-1)]
