"""The policy: a frozen base model with a LoRA adapter, and how far it is from the base."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from shared.errors import TrainingError
from trainer_service.specs import TrainingSample, TrainSpec
from trainer_service.training.device import Precision
from trainer_service.training.reading.attention import allow_packing, is_packed
from trainer_service.training.reading.layout import lay_out
from trainer_service.training.reading.projections import join_projections
from trainer_service.training.reading.read import forward
from trainer_service.training.targets import lora_targets


def load_base(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """The base model, ready for evaluation. Raises TrainingError where its files are not the whole of it."""
    model, loaded = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, local_files_only=True, trust_remote_code=False, output_loading_info=True
    )
    if missing := sorted(loaded["missing_keys"]):  # they would be random
        raise TrainingError(f"the base lacks {len(missing)} of its weights, such as {missing[0]}")
    return model.eval()


def load_policy(spec: TrainSpec, precision: Precision) -> Any:
    """Frozen base and trainable adapter: the release's own, or a fresh one on all projections. The adapter is
    float32 whatever the base is, so that small steps are not rounded away."""
    base = load_base(spec.base, precision.base)
    allow_packing(base)
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
    if spec.zero_stage < 3:
        join_projections(policy, precision.products)
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


@torch.no_grad()
def divergence_from_base(
    policy: Any, samples: Sequence[TrainingSample], device: torch.device
) -> torch.Tensor:
    """KL(policy || base) over the whole vocabulary at each free token of the answers, in nats: axis N."""
    batch = lay_out(samples, device, packed=is_packed(policy))
    logprobs = []
    for place in (nullcontext(), policy.disable_adapter()):
        with place:
            _, logits_NV = forward(policy, batch)
            logprobs.append(logits_NV.log_softmax(-1))
    ours_NV, base_NV = logprobs
    kl_N: torch.Tensor = (ours_NV.exp() * (ours_NV - base_NV)).sum(-1)
    return kl_N


def sequence_logprobs(policy: Any, token_ids: Sequence[int]) -> list[float]:
    """log p of token_ids[1:], as an endpoint's prompt_logprobs gives them."""
    with torch.no_grad():
        device = next(policy.parameters()).device
        tokens_1T = torch.tensor([list(token_ids)], device=device)
        logits_TV = policy(input_ids=tokens_1T, use_cache=False).logits[0, :-1].float()
        targets_T1 = tokens_1T[0, 1:].unsqueeze(-1)
        return [float(p) for p in logits_TV.log_softmax(-1).gather(-1, targets_T1).squeeze(-1)]
