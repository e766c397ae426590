"""Before a model is served: checks that it gives in batches, with gaps, pieces and cached beginnings, what it
gives in one plain pass. Architectures that count places instead of tokens do not.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch

from agent_service.model_server.decoding.cache import bytes_a_token
from agent_service.model_server.decoding.reading import Context, Forward, Runner
from shared.errors import SettingsError

TOKENS = (11, 5)  # of the two rows that are read
TOLERANCE = {torch.float32: 0.02}  # in nats; errors of a wrong position are larger
HALF_TOLERANCE = 0.5
NAME = ""


def check_reading(model: Any, vocab: int, device: torch.device) -> int:
    """Bytes that the cache takes for a token. Raises SettingsError."""
    numbers = torch.Generator().manual_seed(0)
    rows = [torch.randint(vocab, (count,), generator=numbers).tolist() for count in TOKENS]
    forward = _forward(model)
    reason = ""
    try:
        with torch.inference_mode():
            expected = [_plain(model, row, device) for row in rows]
            context, found = _batched(forward, rows, device)
        worst = max(float((a - b).abs().max()) for a, b in zip(expected, found, strict=True))
        if not worst <= TOLERANCE.get(model.dtype, HALF_TOLERANCE):
            reason = f"its log-probabilities in a batch are off by {worst:.2g}"
    except (TypeError, ValueError, RuntimeError, IndexError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"[:300]
    if reason:
        raise SettingsError(
            f"{type(model).__name__} can't be served here: {reason}",
            "serve it with vLLM and give its address as model.url",
        )
    return bytes_a_token(context.cache)


def _forward(model: Any) -> Forward:
    runner = Runner(model)
    return lambda ids, seen, positions, cache, names, keep: runner.run(
        model, ids, seen, positions, cache, keep
    )


def _plain(model: Any, tokens: list[int], device: torch.device) -> torch.Tensor:
    """Log-probabilities after the last token, in one pass of its own: axis V."""
    ids_1L = torch.tensor([tokens], device=device)
    logits_V: torch.Tensor = model(input_ids=ids_1L, use_cache=False).logits[0, -1]
    return logits_V.float().log_softmax(-1)


def _batched(
    forward: Forward, rows: list[list[int]], device: torch.device
) -> tuple[Context, list[torch.Tensor]]:
    """The same of rows that are read side by side: a beginning before, then unequal parts, then swapped."""
    first = Context(forward, [NAME], device)
    first.read_prompts([rows[0][:4]], nullcontext)
    context = Context(forward, [NAME, NAME], device, [first.beginning(0, 4), None])
    context.read([rows[0][4:9], rows[1][:1]])
    context.read([rows[0][9:10], rows[1][1:4]])
    context.select([1, 0])
    logits_BV = context.read([rows[1][4:], rows[0][10:]])[:, -1].float()
    return context, [logits_BV[1].log_softmax(-1), logits_BV[0].log_softmax(-1)]
