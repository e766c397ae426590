"""The context of each row of a batch: the cache, which of its places hold tokens, and the reading of more.
Rows are aligned on the right; gaps that this leaves in the cache are masked and take no position.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from transformers.cache_utils import Cache

from agent_service.model_server.decoding.cache import Beginning, beginning_of, cache_of, select_rows

PROMPT_PIECE = 128  # prompt tokens of each row that are read in one forward pass

# (token ids, attention mask, positions, cache, model name of each row, logits to keep) -> logits
Forward = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Cache, Sequence[str], int], torch.Tensor]


class Context:
    """One row for each of `names` (the model that it asks), each after the beginning that it starts with."""

    def __init__(
        self,
        forward: Forward,
        names: Sequence[str],
        device: torch.device,
        beginnings: Sequence[Beginning | None] = (),
    ) -> None:
        self._forward = forward
        self._device = device
        self.names = list(names)
        beginnings = beginnings or [None] * len(names)
        lengths = [beginning[0][0].shape[1] if beginning else 0 for beginning in beginnings]
        self.cache = cache_of(beginnings, max(lengths))
        self._seen_BK = self._aligned([[1] * length for length in lengths])[1]

    def read(self, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Each row's next tokens (none at all is fine for some rows). Logits of all places: axes BLV."""
        ids_BL, fresh_BL = self._aligned(tokens)
        return self._read(ids_BL, fresh_BL, keep=ids_BL.shape[1])

    def read_prompts(
        self, prompts: Sequence[Sequence[int]], hold: Callable[[], AbstractContextManager[object]]
    ) -> torch.Tensor:
        """Piece by piece, each within `hold`. Logits after each prompt: axes BV."""
        ids_BL, fresh_BL = self._aligned(prompts)
        for start in range(0, ids_BL.shape[1], PROMPT_PIECE):
            piece = slice(start, start + PROMPT_PIECE)
            with hold():
                logits_BLV = self._read(ids_BL[:, piece], fresh_BL[:, piece], keep=1)
        return logits_BLV[:, -1]

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may be there twice."""
        select_rows(self.cache, rows)
        self.names = [self.names[row] for row in rows]
        self._seen_BK = self._seen_BK[list(rows)]

    def beginning(self, row: int, tokens: int) -> Beginning:
        """The model's cache of the last `tokens` tokens of a row, all read without a gap."""
        return beginning_of(self.cache, row, tokens)

    def _read(self, ids_BL: torch.Tensor, fresh_BL: torch.Tensor, keep: int) -> torch.Tensor:
        before_B1 = self._seen_BK.sum(dim=1, keepdim=True)
        positions_BL = (before_B1 + fresh_BL.cumsum(dim=1) - 1).clamp(min=0)
        self._seen_BK = torch.cat([self._seen_BK, fresh_BL], dim=1)
        return self._forward(ids_BL, self._seen_BK, positions_BL, self.cache, self.names, keep)

    def _aligned(self, lists: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids aligned on the right, and 1 where there is a token."""
        width = max(len(tokens) for tokens in lists)
        ids = [[0] * (width - len(tokens)) + list(tokens) for tokens in lists]
        fresh = [[0] * (width - len(tokens)) + [1] * len(tokens) for tokens in lists]
        return self._tensor(ids), self._tensor(fresh)

    def _tensor(self, values: list[list[int]]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)


class Runner:
    """Calls a model's forward pass with what it knows of: where it takes no positions, they follow from the
    mask. `wrapped` is the model itself or PEFT's wrapper of it."""

    def __init__(self, model: Any) -> None:
        self._known = frozenset(inspect.signature(model.forward).parameters)

    def run(
        self,
        wrapped: Any,
        ids_BL: torch.Tensor,
        seen_BK: torch.Tensor,
        positions_BL: torch.Tensor,
        cache: Cache | None,
        keep: int,
        **more: object,
    ) -> torch.Tensor:
        """Logits of the last `keep` tokens: axes BLV."""
        optional = {"position_ids": positions_BL, "logits_to_keep": keep}
        logits_BLV: torch.Tensor = wrapped(
            input_ids=ids_BL,
            attention_mask=seen_BK,
            past_key_values=cache,
            use_cache=cache is not None,
            **{name: value for name, value in optional.items() if name in self._known},
            **more,
        ).logits
        return logits_BLV[:, -keep:]
