"""Attention within a packed row: each token sees what its own sample has before it. Also the test whether a
model can be read that way; one that can't is read row by row.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from trainer_service.specs import TrainingSample
from trainer_service.training.reading.layout import Batch, lay_out
from trainer_service.training.reading.packing import Segments

log = logging.getLogger(__name__)

NAME = "ratchet_packed"  # among the attention implementations of transformers
TOLERANCE = {torch.float32: 1e-3}  # nats, between both ways of reading
HALF_TOLERANCE = 0.2
NOISE = 4.0  # times what rounding alone does: large activations make it 3e-3 in float32 on some models
PROBED = (((3, 5, 7, 11), (13, 17, 19)), ((3, 5, 7, 11), (23, 29)), ((2, 4, 6), (8, 10, 12, 14)))


def attend(
    module: Any,
    query_1HTD: torch.Tensor,
    key_1HTD: torch.Tensor,
    value_1HTD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    segments: Segments | None = None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls in every layer; returns axes 1THD. Without segments: plain causal attention."""
    if segments is None:
        output, _ = sdpa_attention_forward(
            module, query_1HTD, key_1HTD, value_1HTD, attention_mask, scaling=scaling, **others
        )
        return output, None
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query_1HTD, key_1HTD, value_1HTD))
    found = [
        _attend(query, key, value, segments.stem_SL, segments.stem_SL, scaling, None),
    ]
    if segments.branch_QC.numel():
        seen_QK = torch.cat([segments.before_QP, segments.branch_QC], dim=1)
        found.append(_attend(query, key, value, segments.branch_QC, seen_QK, scaling, segments.visible_Q1CK))
    return torch.cat(found).index_select(0, segments.place_T).unsqueeze(0), None


def _attend(
    query_THD: torch.Tensor,
    key_THD: torch.Tensor,
    value_THD: torch.Tensor,
    asking_RQ: torch.Tensor,
    seen_RK: torch.Tensor,
    scaling: float | None,
    visible_R1QK: torch.Tensor | None,
) -> torch.Tensor:
    """Rows of tokens that ask and that are seen (without a mask: causally); returns one HD for each that
    asks, flattened."""
    query_RHQD = rows(query_THD, asking_RQ)
    key_RHKD, value_RHKD = rows(key_THD, seen_RK), rows(value_THD, seen_RK)
    repeats = query_THD.shape[1] // key_THD.shape[1]
    if repeats > 1:
        key_RHKD, value_RHKD = (t.repeat_interleave(repeats, dim=1) for t in (key_RHKD, value_RHKD))
    output_RHQD = scaled_dot_product_attention(
        query_RHQD,
        key_RHKD,
        value_RHKD,
        attn_mask=visible_R1QK,
        is_causal=visible_R1QK is None,
        scale=scaling,
    )
    return output_RHQD.transpose(1, 2).flatten(0, 1)


def rows(tensor_THD: torch.Tensor, places_RL: torch.Tensor) -> torch.Tensor:
    """Axes RHLD."""
    taken = tensor_THD.index_select(0, places_RL.flatten())
    return taken.view(*places_RL.shape, *taken.shape[1:]).transpose(1, 2)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, lambda **_: None)  # segments hold the mask


def is_packed(policy: Any) -> bool:
    return bool(policy.config._attn_implementation == NAME)


def inputs(batch: Batch) -> dict[str, Any]:
    """What a policy is called with to read the batch."""
    if batch.segments is None:
        return {"input_ids": batch.tokens_RT, "use_cache": False}
    packed = {"position_ids": batch.positions_RT, "segments": batch.segments}
    return {"input_ids": batch.tokens_RT, "use_cache": False} | packed


@torch.no_grad()
def allow_packing(policy: Any) -> None:
    """Let the model read packed rows, where it then gives what it gives row by row."""
    before = policy.config._attn_implementation
    reason = why_not(policy.config)
    if not reason:
        expected = probe(policy, packed=False)
        alone = torch.cat([probe(policy, packed=False, only=number) for number in range(len(PROBED))])
        noise = float((alone - expected).abs().max())
        try:
            policy.set_attn_implementation(NAME)
            error = float((probe(policy, packed=True) - expected).abs().max())
            allowed = max(TOLERANCE.get(policy.dtype, HALF_TOLERANCE), NOISE * noise)
            reason = "" if error <= allowed else f"log-probabilities would differ by {error:.2g}"
        except (TypeError, ValueError, RuntimeError, AttributeError, KeyError, IndexError) as failure:
            reason = str(failure).partition("\n")[0] or type(failure).__name__
    if reason:
        policy.set_attn_implementation(before)
        log.warning("samples are read row by row: this model can't read packed rows (%s)", reason)


def why_not(config: Any) -> str:
    """Why a model's layers see other tokens than all before, which a short probe would not show."""
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        return f"layers of the kind {', '.join(sorted(kinds - {'full_attention'}))}"
    window = getattr(text, "sliding_window", None)
    return f"a window of {window} tokens" if window and not getattr(text, "layer_types", None) else ""


def probe(policy: Any, *, packed: bool, only: int | None = None) -> torch.Tensor:
    """Log-probabilities after each token that is free in a few samples, two of which share their prompt."""
    vocabulary = policy.get_input_embeddings().weight.shape[0]
    texts = PROBED if only is None else PROBED[only : only + 1]
    samples = [
        TrainingSample(
            prompt_ids=tuple(i % vocabulary for i in prompt),
            token_ids=tuple(i % vocabulary for i in answer),
            free=(True,) * len(answer),
            reward=0.0,
            group="",
        )
        for prompt, answer in texts
    ]
    batch = lay_out(samples, next(policy.parameters()).device, packed=packed)
    logits_RTV = policy(**inputs(batch)).logits
    logprob_NV: torch.Tensor = logits_RTV.flatten(0, 1)[batch.from_N].float().log_softmax(-1)
    return logprob_NV
