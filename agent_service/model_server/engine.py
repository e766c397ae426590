"""The one thread that owns the model. Rows and calls wait in one queue, in order: waiting rows that stand
together make a batch, and a call (loading or unloading an adapter, scoring a prompt) runs between batches,
with the model for itself.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import torch

from agent_service.model_server.adapters import Adapters
from agent_service.model_server.decoding.batching import Batch
from agent_service.model_server.decoding.rows import Call, Row, settle
from agent_service.model_server.decoding.sampling import logprob_of
from agent_service.model_server.loading import LanguageModel
from agent_service.model_server.refusal import Refusal
from shared.box.machine_lock import busy

ROWS_PER_BATCH = 96
GATHER_S = 0.01  # how long the first waiting row waits for company
T = TypeVar("T")
logger = logging.getLogger(__name__)


class Engine:
    """Answers by futures. `close` ends the thread; what then still waits is refused."""

    def __init__(self, language: LanguageModel, adapters: Adapters) -> None:
        self._language = language
        self._adapters = adapters
        self._waiting: deque[Row | Call[object]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._live, name="model", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def model_names(self) -> list[str]:
        return [self._adapters.base_name, *self._adapters.names()]

    def submit(self, rows: Sequence[Row]) -> None:
        """Queue rows; each one's future has its Answer, or the reason why there is none."""
        self._put(rows)

    def load_adapter(self, name: str, folder: Path) -> Future[None]:
        return self._call(lambda: self._adapters.load(name, folder))

    def unload_adapter(self, name: str) -> Future[None]:
        """Waits behind what was asked of the adapter before."""
        return self._call(lambda: self._adapters.unload(name))

    def prompt_logprobs(self, model: str, prompt: Sequence[int]) -> Future[list[float]]:
        """Log-probability of each token after the first, given those before it."""
        return self._call(lambda: self._score(model, prompt))

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        for job in self._waiting:
            future: Future[Any] = job.future
            settle(future, _closing())

    def _call(self, work: Callable[[], T]) -> Future[T]:
        call = Call(work)
        self._put([call])
        return call.future

    def _put(self, jobs: Sequence[Row | Call[T]]) -> None:
        with self._changed:
            if self._closing:
                raise _closing()
            self._waiting.extend(jobs)  # type: ignore[arg-type]
            self._changed.notify_all()

    def _live(self) -> None:
        while (job := self._next()) is not None:
            if isinstance(job, Call):
                self._run(job)
            else:
                self._decode(job)

    def _next(self) -> Call[object] | list[Row] | None:
        """The call at the head of the queue, or the rows there; None when closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if self._closing:
                return None
            if isinstance(self._waiting[0], Row):
                self._changed.wait_for(
                    lambda: len(self._waiting) >= ROWS_PER_BATCH or self._closing, GATHER_S
                )
            head = self._waiting.popleft()
            if isinstance(head, Call):
                return head
            rows = [head]
            while self._waiting and len(rows) < ROWS_PER_BATCH and isinstance(self._waiting[0], Row):
                rows.append(self._waiting.popleft())  # type: ignore[arg-type]
            return rows

    def _run(self, call: Call[object]) -> None:
        try:
            settle(call.future, call.work())
        except Refusal as refusal:
            settle(call.future, refusal)
        except Exception as error:
            logger.exception("a call on the model failed")
            settle(call.future, error)

    def _decode(self, rows: Sequence[Row]) -> None:
        known = [row for row in rows if not row.future.cancelled() and self._is_known(row)]
        if not known:
            return
        stops = frozenset(self._language.stop_tokens)
        try:
            with torch.inference_mode():
                Batch(known, self._adapters.forward, stops, self._language.device).run()
        except Exception as error:  # the model's thread outlives a batch, whatever broke it
            logger.exception("a batch of %d rows failed", len(known))
            for row in known:
                settle(row.future, error)

    def _is_known(self, row: Row) -> bool:
        try:
            self._adapters.require(row.model)
        except Refusal as refusal:
            settle(row.future, refusal)
            return False
        return True

    def _score(self, model: str, prompt: Sequence[int]) -> list[float]:
        self._adapters.require(model)
        ids_BL = torch.tensor([list(prompt)], device=self._language.device)
        positions_BL = torch.arange(len(prompt), device=self._language.device)[None]
        with busy(), torch.inference_mode():
            logits_BLV = self._adapters.forward(
                ids_BL, torch.ones_like(ids_BL), positions_BL, None, [model], len(prompt)
            )
            scores: list[float] = logprob_of(logits_BLV[0, :-1], ids_BL[0, 1:]).tolist()
        return scores


def _closing() -> Refusal:
    return Refusal("the server is closing", status=503, kind="ServiceUnavailableError")
