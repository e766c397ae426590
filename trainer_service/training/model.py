"""The policy: a frozen base model with a LoRA adapter, and the log-probabilities that it gives to tokens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from shared.errors import TrainingError
from trainer_service.specs import TrainingSample, TrainSpec
from trainer_service.training.targets import lora_targets


@dataclass(frozen=True)
class Batch:
    """Samples side by side, padded on the right (causal attention ignores it).

    The last K positions hold all answers; `answers` marks where each one stands among them.
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


def load_base(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """The base model, ready for evaluation."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True).eval()


def load_policy(spec: TrainSpec, dtype: torch.dtype = torch.float32) -> Any:
    """Frozen base and trainable adapter: the release's own, or a fresh one on all projections. The adapter is
    float32 whatever the base is, so that small steps are not rounded away."""
    base = load_base(spec.base, dtype)
    if spec.gradient_checkpointing:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        without_dropout(base)
    if spec.adapter is not None:
        policy = PeftModel.from_pretrained(base, spec.adapter, is_trainable=True)
    else:
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=spec.lora_rank,
            lora_alpha=2 * spec.lora_rank,
            lora_dropout=0.0,
            target_modules=lora_targets(base, spec.lora_targets),
        )
        try:
            policy = get_peft_model(base, config)
        except (ValueError, NotImplementedError) as error:  # an architecture that PEFT does not adapt
            raise TrainingError(f"{type(base).__name__} can't be trained: {error}") from error
    return policy.train(spec.gradient_checkpointing)  # layers are recomputed in training mode only


def without_dropout(base: Any) -> None:
    """Set all dropout to zero: training mode computes what evaluation does."""
    for module in base.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0


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


@dataclass(frozen=True)
class Reading:
    """Log-probabilities of every kept token given all before it, at each sample's temperature."""

    logprob_BK: torch.Tensor
    plain_BK: torch.Tensor  # ... at temperature 1
    entropy_BK: torch.Tensor  # nats; watched only, without a gradient
    hidden_BKH: torch.Tensor | None = None  # the last hidden states, where a value head wants them


def read(policy: Any, batch: Batch, samples: Sequence[TrainingSample], *, hidden: bool = False) -> Reading:
    """One forward pass. The head runs on kept positions only."""
    tokens_BT, kept = batch.tokens_BT, batch.kept
    output = policy(
        input_ids=tokens_BT, use_cache=False, logits_to_keep=kept + 1, output_hidden_states=hidden
    )
    logits_BKV = output.logits[:, :-1].float()
    targets_BK1 = tokens_BT[:, -kept:].unsqueeze(-1)
    plain_BK = log_softmax_of(logits_BKV, targets_BK1)
    tempered_BK = plain_BK
    if any(sample.temperature != 1.0 for sample in samples):
        heat_B11 = torch.tensor([s.temperature for s in samples], device=tokens_BT.device)[:, None, None]
        logits_BKV = logits_BKV / heat_B11
        tempered_BK = log_softmax_of(logits_BKV, targets_BK1)
    return Reading(
        logprob_BK=tempered_BK,
        plain_BK=plain_BK,
        entropy_BK=entropy(logits_BKV.detach()),
        hidden_BKH=output.hidden_states[-1][:, -kept - 1 : -1] if hidden else None,
    )


def log_softmax_of(logits_BKV: torch.Tensor, targets_BK1: torch.Tensor) -> torch.Tensor:
    chosen_BK: torch.Tensor = logits_BKV.gather(-1, targets_BK1).squeeze(-1)
    return chosen_BK - logits_BKV.logsumexp(-1)


def entropy(logits_BKV: torch.Tensor) -> torch.Tensor:
    """In nats; row by row, so that no second tensor of the vocabulary's width is held. Axes BK."""
    rows = []
    for logits_KV in logits_BKV:
        logprob_KV = logits_KV.log_softmax(-1)
        rows.append(-(logprob_KV.exp() * logprob_KV).sum(-1))
    return torch.stack(rows)


@torch.no_grad()
def divergence_from_base(policy: Any, sample: TrainingSample, device: torch.device) -> torch.Tensor:
    """KL(policy || base) over the whole vocabulary at each free token of the answer, in nats."""
    batch = collate([sample], device)
    logprobs = []
    for place in (nullcontext(), policy.disable_adapter()):
        with place:
            logits = policy(input_ids=batch.tokens_BT, use_cache=False, logits_to_keep=batch.kept + 1).logits
            logprobs.append(logits[0, :-1].float().log_softmax(-1))
    ours_KV, base_KV = logprobs
    kl_K: torch.Tensor = (ours_KV.exp() * (ours_KV - base_KV)).sum(-1)
    return kl_K[batch.free_BK[0] > 0]


def sequence_logprobs(policy: Any, token_ids: Sequence[int]) -> list[float]:
    """log p of token_ids[1:], as an endpoint's prompt_logprobs gives them."""
    with torch.no_grad():
        device = next(policy.parameters()).device
        tokens_1T = torch.tensor([list(token_ids)], device=device)
        logits_TV = policy(input_ids=tokens_1T, use_cache=False).logits[0, :-1].float()
        targets_T1 = tokens_1T[0, 1:].unsqueeze(-1)
        return [float(p) for p in logits_TV.log_softmax(-1).gather(-1, targets_T1).squeeze(-1)]
