"""The progress of one row of a batch: its tokens so far, and what its grammar forces next."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent_service.model_server.decoding.constrained import Grammar
from agent_service.model_server.decoding.rows import Row
from agent_service.model_server.decoding.sampling import uniforms


@dataclass
class Progress:
    """How far one row is."""

    row: Row
    grammar: Grammar | None  # the row's own stays at the start, should the row be decoded anew
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
        grammar = row.grammar.copy() if row.grammar else None
        opening = grammar.opening if grammar else []
        return cls(row, grammar, stop_tokens, uniforms(row.seed, row.index, row.max_tokens), opening)

    def allowed_V(self) -> NDArray[np.bool_] | None:
        return self.grammar.allowed_V() if self.grammar and not self.opening and not self.over else None

    def take(self, sampled: int, logprob: float, free: bool) -> None:
        """Append a sampled token, or the opening in its place, and all that the grammar forces next."""
        if self.opening:
            (token, *forced), free = self.opening, False
            self.opening = []
        else:
            token, forced = sampled, self.grammar.take(sampled) if self.grammar else []
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
            self.unread.pop()  # no token follows it, so its logits are not needed

    def forced_after(self) -> list[int]:
        """The tokens whose log-probability the next reading gives: all after the one that was sampled."""
        return self.tokens[len(self.logprobs) :]

    @property
    def over(self) -> bool:
        """Answered, failed, cancelled, or complete with nothing left to read."""
        return (bool(self.finish) and not self.unread) or self.row.future.done()

    def next_token(self, sampled: int) -> int:
        return self.opening[0] if self.opening else sampled
