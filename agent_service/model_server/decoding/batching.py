"""Decodes one batch of rows to its end: prompts first (each distinct one once), then a token or more for
every row at each step. Rows whose grammar forces the next tokens read them in one step; rows are aligned on
the right, and the gaps that this leaves in the cache are masked. Holds the machine lock one step at a time,
so that a timed block never waits long.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from agent_service.model_server.decoding.cache import Beginning
from agent_service.model_server.decoding.prefixes import Prefixes, Prompt
from agent_service.model_server.decoding.progress import Progress
from agent_service.model_server.decoding.reading import Context, Forward
from agent_service.model_server.decoding.rows import Answer, Row, settle
from agent_service.model_server.decoding.sampling import logprob_of, sample
from agent_service.model_server.refusal import Refusal
from shared.box.machine_lock import busy

WASTE = 0.25  # share of finished rows at which the batch is made smaller


class Batch:
    """The live rows and what the model has read of them. Used by the model's thread only."""

    def __init__(
        self,
        rows: Sequence[Row],
        forward: Forward,
        prefixes: Prefixes,
        stop_tokens: frozenset[int],
        device: torch.device,
    ) -> None:
        self._forward = forward
        self._prefixes = prefixes
        self._device = device
        self._all = [Progress.begin(row, stop_tokens) for row in rows]
        self._row_s = 0.0  # of the batch's time up to `_shared_at_s`: the share of a row that is not settled
        self._shared_at_s = time.perf_counter()

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
        """Each distinct prompt once, and of several with one beginning that beginning once."""
        distinct = list(dict.fromkeys((p.row.model, tuple(p.row.prompt)) for p in self._all))
        prefixes = self._prefixes.shared(distinct)
        beginnings = self._read_prefixes([prefix for prefix in prefixes if prefix[1]])
        self._context = self._new_context(distinct, [beginnings.get(prefix) for prefix in prefixes])
        tails = [prompt[1][len(prefix[1]) :] for prompt, prefix in zip(distinct, prefixes, strict=True)]
        self._logits_BV = self._context.read_prompts(tails, busy)
        place = {key: index for index, key in enumerate(distinct)}
        self._keep([place[p.row.model, tuple(p.row.prompt)] for p in self._all])

    def _read_prefixes(self, prefixes: Sequence[Prompt]) -> dict[Prompt, Beginning]:
        """The model's cache of each; those that it read before are not read again."""
        known = {prefix: self._prefixes.find(prefix) for prefix in prefixes}
        found = {prefix: beginning for prefix, beginning in known.items() if beginning is not None}
        new = [prefix for prefix in known if prefix not in found]
        if new:
            context = self._new_context(new, [])
            context.read_prompts([tokens for _, tokens in new], busy)
            for row, prefix in enumerate(new):
                found[prefix] = context.beginning(row, len(prefix[1]))
                self._prefixes.keep(prefix, found[prefix])
        return found

    def _new_context(self, prompts: Sequence[Prompt], beginnings: Sequence[Beginning | None]) -> Context:
        return Context(self._forward, [name for name, _ in prompts], self._device, beginnings)

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
            except Refusal as refusal:  # of this row; its neighbours continue
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
        logits_BLV = self._context.read([p.unread for p in self._all])
        rows, places, tokens = [], [], []
        for index, progress in enumerate(self._all):
            first = logits_BLV.shape[1] - len(progress.unread)
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

    def _share_time(self) -> None:
        now_s, live = time.perf_counter(), sum(not p.row.future.done() for p in self._all)
        self._row_s += (now_s - self._shared_at_s) / max(1, live)
        self._shared_at_s = now_s

    def _settle_finished(self) -> None:
        """Answer the rows that are over; once enough are, take them out of the batch."""
        self._share_time()
        for progress in self._all:
            if progress.over and not progress.row.future.done():
                columns = (progress.tokens, progress.logprobs, progress.free)
                answer = Answer(*columns, progress.finish, self._row_s)
                settle(progress.row.future, answer)
        live = [index for index, progress in enumerate(self._all) if not progress.over]
        if len(live) <= (1 - WASTE) * len(self._all):
            self._all = [self._all[index] for index in live]
            if live:
                self._keep(live)

    def _keep(self, rows: Sequence[int]) -> None:
        self._context.select(rows)
        self._logits_BV = self._logits_BV[rows]

    def _column(self, values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64, device=self._device)
