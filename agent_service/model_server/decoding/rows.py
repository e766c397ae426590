"""The items of the engine's queue: rows (one answer each, many go into one batch) and calls (load an
adapter, score a prompt), which have the model for themselves. Plain values; the engine gives them meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from agent_service.model_server.decoding.constrained import Grammar

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """The tokens of one row, the stop token among them. `logprobs[t]` is of token t under the full
    vocabulary's softmax at temperature 1, before grammar and top_p. `free[t]`: more than one token was
    allowed at t. `device_s`: its share of its batch's time.
    """

    tokens: list[int]
    logprobs: list[float]
    free: list[bool]
    finish: str  # "stop" or "length"
    device_s: float = 0.0


@dataclass
class Row:
    """One answer that is asked for: choice `index` of a request. Its randomness depends on (seed, index)."""

    model: str
    prompt: Sequence[int]
    max_tokens: int
    seed: int
    index: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    grammar: Grammar | None = None
    future: Future[Answer] = field(default_factory=Future)


@dataclass
class Call(Generic[T]):
    """Work that the model's thread does between batches."""

    work: Callable[[], T]
    future: Future[T] = field(default_factory=Future)


def settle(future: Future[T], outcome: T | BaseException) -> None:
    """Set a future's outcome, unless its caller has cancelled it."""
    if future.done() or not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
