"""Decodes one batch of rows to its end: prompts first (each distinct one once), then a token or more for
every row at each step. Rows whose grammar forces the next tokens read them in one step; rows are aligned on
the right, and the gaps that this leaves in the cache are masked. Holds the machine lock one step at a time,
so that a timed block never waits long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.cache_utils import Cache

from agent_service.model_server.decoding.cache import new_cache, select_rows
from agent_service.model_server.decoding.rows import Answer, Row, settle
from agent_service.model_server.decoding.sampling import logprob_of, sample, uniforms
from agent_service.model_server.refusal import Refusal
from shared.box.machine_lock import busy

PROMPT_PIECE = 128  # prompt tokens of each row that are read under one hold of the machine lock
WASTE = 0.25  # share of finished rows at which the batch is made smaller

# (token ids, attention mask, positions, cache, model name of each row, logits to keep) -> logits
Forward = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Cache, Sequence[str], int], torch.Tensor]


@dataclass
class Progress:
    """How far one row is."""

    row: Row
    stop_tokens: frozenset[int]
    uniforms: NDArray[np.float64]
    opening: list[int]  # what the grammar forces before anything is sampled
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    free: list[bool] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)  # tokens that the model has not read yet
    finish: str = ""

    @classmethod
    def begin(cls, row: Row, stop_tokens: frozenset[int]) -> Progress:
        opening = row.grammar.opening if row.grammar else []
        return cls(row, stop_tokens, uniforms(row.seed, row.index, row.max_tokens), opening)

    def allowed_V(self) -> NDArray[np.bool_] | None:
        return (
            self.row.grammar.allowed_V() if self.row.grammar and not self.opening and not self.over else None
        )

    def take(self, sampled: int, logprob: float, free: bool) -> None:
        """Append a sampled token, or the opening in its place, and all that the grammar forces next."""
        if self.opening:
            (token, *forced), free = self.opening, False
            self.opening = []
        else:
            token, forced = sampled, self.row.grammar.take(sampled) if self.row.grammar else []
        forced = forced[: self.row.max_tokens - len(self.tokens) - 1]
        self.unread = [token, *forced]
        self.tokens += self.unread
        self.logprobs.append(logprob)
        self.free += [free] + [False] * len(forced)
        if self.tokens[-1] in self.stop_tokens:
            self.finish = "stop"
        elif len(self.tokens) == self.row.max_tokens:
            self.finish = "length"
        if self.finish:
            self.unread.pop()  # nothing comes after it, so nobody asks what the model makes of it

    def forced_after(self) -> list[int]:
        """The tokens whose log-probability the next reading gives: all after the one that was sampled."""
        return self.tokens[len(self.logprobs) :]

    @property
    def over(self) -> bool:
        """Answered, failed, cancelled, or complete with nothing left to read."""
        return (bool(self.finish) and not self.unread) or self.row.future.done()

    def next_token(self, sampled: int) -> int:
        return self.opening[0] if self.opening else sampled


class Batch:
    """The live rows and what the model has read of them. Used by the model's thread only."""

    def __init__(
        self, rows: Sequence[Row], forward: Forward, stop_tokens: frozenset[int], device: torch.device
    ) -> None:
        self._forward = forward
        self._device = device
        self._all = [Progress.begin(row, stop_tokens) for row in rows]
        self._cache = new_cache()

    def run(self) -> None:
        """Decode to the end, settling each row's future as it finishes. Raises what the model raises."""
        self._read_prompts()
        while self._all:
            with busy():
                self._choose()
                self._settle_finished()
                if self._all:
                    self._read_chosen()
                    self._settle_finished()

    def _read_prompts(self) -> None:
        distinct = list(dict.fromkeys((p.row.model, tuple(p.row.prompt)) for p in self._all))
        self._names = [name for name, _ in distinct]
        self._seen_BK = torch.zeros(len(distinct), 0, dtype=torch.long, device=self._device)
        ids_BL, fresh_BL = self._aligned([prompt for _, prompt in distinct])
        for start in range(0, ids_BL.shape[1], PROMPT_PIECE):
            piece = slice(start, start + PROMPT_PIECE)
            with busy():
                self._logits_BV = self._read(ids_BL[:, piece], fresh_BL[:, piece], keep=1)[:, -1]
        place = {key: index for index, key in enumerate(distinct)}
        self._keep([place[p.row.model, tuple(p.row.prompt)] for p in self._all])

    def _choose(self) -> None:
        """A token for every row from the logits of its last one."""
        allowed_BV, free = self._allowed()
        token_B = sample(
            self._logits_BV,
            allowed_BV,
            self._column([p.row.temperature for p in self._all]),
            self._column([p.row.top_p for p in self._all]),
            self._column([0.0 if p.over else p.uniforms[len(p.tokens)] for p in self._all]),
        )
        chosen = [p.next_token(token) for p, token in zip(self._all, token_B.tolist(), strict=True)]
        logprob_B = logprob_of(self._logits_BV, torch.tensor(chosen, device=self._device)).tolist()
        for progress, token, logprob, is_free in zip(self._all, chosen, logprob_B, free, strict=True):
            if progress.over:
                continue
            try:
                progress.take(token, logprob, is_free)
            except Refusal as refusal:  # of this row; its neighbours go on
                settle(progress.row.future, refusal)

    def _allowed(self) -> tuple[torch.Tensor | None, list[bool]]:
        """The mask of all rows (None where no row has a grammar), and whether each row has a choice."""
        masks = [p.allowed_V() for p in self._all]
        free = [mask is None or int(mask.sum()) > 1 for mask in masks]
        if all(mask is None for mask in masks):
            return None, free
        everything_V = np.ones(self._logits_BV.shape[1], dtype=np.bool_)
        width = len(everything_V)
        stacked = np.stack([everything_V if mask is None else mask[:width] for mask in masks])
        return torch.from_numpy(stacked).to(self._device), free

    def _read_chosen(self) -> None:
        """Let the model read what each row has taken, and note the log-probabilities of the forced tokens."""
        ids_BL, fresh_BL = self._aligned([p.unread for p in self._all])
        logits_BLV = self._read(ids_BL, fresh_BL, keep=ids_BL.shape[1])
        rows, places, tokens = [], [], []
        for index, progress in enumerate(self._all):
            first = ids_BL.shape[1] - len(progress.unread)
            for offset, token in enumerate(progress.forced_after()):
                rows.append(index)
                places.append(first + offset)
                tokens.append(token)
        logprobs = logprob_of(
            logits_BLV[rows, places], torch.tensor(tokens, dtype=torch.long, device=self._device)
        )
        for index, logprob in zip(rows, logprobs.tolist(), strict=True):
            self._all[index].logprobs.append(logprob)
        for progress in self._all:
            progress.unread = []
        self._logits_BV = logits_BLV[:, -1]

    def _read(self, ids_BL: torch.Tensor, fresh_BL: torch.Tensor, keep: int) -> torch.Tensor:
        before_B1 = self._seen_BK.sum(dim=1, keepdim=True)
        positions_BL = (before_B1 + fresh_BL.cumsum(dim=1) - 1).clamp(min=0)
        self._seen_BK = torch.cat([self._seen_BK, fresh_BL], dim=1)
        return self._forward(ids_BL, self._seen_BK, positions_BL, self._cache, self._names, keep)

    def _settle_finished(self) -> None:
        """Answer the rows that are over; once enough are, take them out of the batch."""
        for progress in self._all:
            if progress.over and not progress.row.future.done():
                answer = Answer(progress.tokens, progress.logprobs, progress.free, progress.finish)
                settle(progress.row.future, answer)
        live = [index for index, progress in enumerate(self._all) if not progress.over]
        if len(live) <= (1 - WASTE) * len(self._all):
            self._all = [self._all[index] for index in live]
            if live:
                self._keep(live)

    def _keep(self, rows: Sequence[int]) -> None:
        select_rows(self._cache, rows)
        self._names = [self._names[row] for row in rows]
        self._seen_BK = self._seen_BK[rows]
        self._logits_BV = self._logits_BV[rows]

    def _aligned(self, lists: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids aligned on the right, and 1 where there is a token."""
        width = max(len(tokens) for tokens in lists)
        ids = [[0] * (width - len(tokens)) + list(tokens) for tokens in lists]
        fresh = [[0] * (width - len(tokens)) + [1] * len(tokens) for tokens in lists]
        return torch.tensor(ids, device=self._device), torch.tensor(fresh, device=self._device)

    def _column(self, values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64, device=self._device)
