"""One forward pass over a batch: the log-probability that the policy gives to every free token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainer_service.specs import TrainingSample
from trainer_service.training.reading.attention import inputs
from trainer_service.training.reading.layout import Batch
from trainer_service.training.reading.logprobs import chosen_logprobs


@dataclass(frozen=True)
class Reading:
    """Log-probabilities of every free token given all before it, at each sample's temperature; zero at the
    other tokens."""

    logprob_BK: torch.Tensor
    plain_BK: torch.Tensor  # ... at temperature 1, without a gradient
    entropy_BK: torch.Tensor  # nats; watched only, without a gradient
    hidden_NH: torch.Tensor | None = None  # the last hidden states, where a value head wants them


def read(policy: Any, batch: Batch, samples: Sequence[TrainingSample], *, hidden: bool = False) -> Reading:
    """One forward pass. The head runs where a free token is predicted only."""
    output, logits_NV = forward(policy, batch, hidden=hidden)
    heat_N = torch.tensor([sample.temperature for sample in samples], device=logits_NV.device)[
        batch.slot_N // batch.free_BK.shape[1]
    ]
    if bool((heat_N == 1.0).all()):
        logprob_N, entropy_N = chosen_logprobs(logits_NV, batch.target_N)
        plain_N = logprob_N.detach()
    else:
        with torch.no_grad():
            plain_N, _ = chosen_logprobs(logits_NV, batch.target_N)
        logprob_N, entropy_N = chosen_logprobs(logits_NV / heat_N[:, None], batch.target_N)
    return Reading(
        logprob_BK=batch.spread(logprob_N),
        plain_BK=batch.spread(plain_N),
        entropy_BK=batch.spread(entropy_N),
        hidden_NH=output.hidden_states[-1].flatten(0, 1)[batch.from_N] if hidden else None,
    )


def forward(policy: Any, batch: Batch, *, hidden: bool = False) -> tuple[Any, torch.Tensor]:
    """The model's output, and the logits that predict each free token: axes NV."""
    given = inputs(batch) | ({"output_hidden_states": True} if hidden else {})
    if batch.segments is not None:
        output = policy(**given, logits_to_keep=batch.from_N)
        return output, output.logits[0].float()
    width = batch.tokens_RT.shape[1]
    columns, of_N = torch.unique(batch.from_N % width, return_inverse=True)  # type: ignore[no-untyped-call]
    output = policy(**given, logits_to_keep=columns)
    logits_RUV = output.logits
    return output, logits_RUV[batch.from_N // width, of_N].float()
