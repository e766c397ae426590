"""The one thread that owns the model. Rows and calls wait in one queue, in order: waiting rows that stand
together, with prompts of like length, make a batch, and a call (loading or unloading an adapter, scoring a
prompt) runs between batches, with the model for itself.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

import torch

from agent_service.model_server.adapters import Adapters
from agent_service.model_server.decoding.batching import Batch
from agent_service.model_server.decoding.memory import Room, is_alike, is_out_of_memory
from agent_service.model_server.decoding.prefixes import Prefixes
from agent_service.model_server.decoding.rows import Call, Row, settle
from agent_service.model_server.decoding.sampling import logprob_of
from agent_service.model_server.loading import LanguageModel
from agent_service.model_server.refusal import Refusal
from shared.box.machine_lock import busy

GATHER_S = 0.01  # how long the first waiting row waits for others
T = TypeVar("T")
logger = logging.getLogger(__name__)


class Engine:
    """Answers by futures. `close` ends the thread; what then still waits is refused."""

    def __init__(self, language: LanguageModel, adapters: Adapters) -> None:
        self._language = language
        self._adapters = adapters
        self._prefixes = Prefixes()
        self._room = Room(language.token_bytes, language.vocab, language.device)
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
        return self._call(lambda: self._unload(name))

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
                    lambda: len(self._waiting) >= self._room.most_rows or self._closing, GATHER_S
                )
            head = self._waiting[0]
            if isinstance(head, Call):
                self._waiting.popleft()
                return head
            joining = takewhile(lambda job: self._joins(job, head), self._waiting)
            rows = [job for job in joining if isinstance(job, Row) and is_alike(job, head)]
            return self._take(rows[: self._room.fitting(rows)])

    def _take(self, rows: list[Row]) -> list[Row]:
        """The rows, out of the queue; the others keep their order."""
        taken = {id(row) for row in rows}
        self._waiting = deque(job for job in self._waiting if id(job) not in taken)
        return rows

    def _joins(self, job: Row | Call[object], head: Row) -> bool:
        """Whether it may be in one batch with the head of the queue."""
        return isinstance(job, Row) and (self._adapters.mixes or job.model == head.model)

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
        try:
            self._run_batch(known)
        except Exception as error:  # the model's thread outlives a batch, whatever error ended it
            if is_out_of_memory(error):
                self._decode_halves(known)
                return
            logger.exception("a batch of %d rows failed", len(known))
            self._decode_alone(known, error)

    def _run_batch(self, rows: Sequence[Row]) -> None:
        language = self._language
        stops = frozenset(language.stop_tokens)
        with torch.inference_mode():
            Batch(rows, self._adapters.forward, self._prefixes, stops, language.device).run()

    def _decode_halves(self, rows: Sequence[Row]) -> None:
        """After a batch ran out of memory: what it left, once more in two halves. Where a half is still too
        much, its rows are refused."""
        left = [row for row in rows if not row.future.done()]
        self._room.shrink(len(rows))
        self._prefixes = Prefixes()  # what it keeps takes memory too
        logger.warning(
            "a batch of %d rows ran out of memory: at most %d from now on", len(rows), self._room.most_rows
        )
        middle = -(-len(left) // 2)
        for half in filter(None, (left[:middle], left[middle:])):
            try:
                self._run_batch(half)
            except Exception as error:
                logger.exception("a batch of %d rows failed", len(half))
                if is_out_of_memory(error):
                    for row in half:
                        settle(row.future, _too_large(len(half)))
                else:
                    self._decode_alone(half, error)

    def _decode_alone(self, rows: Sequence[Row], error: Exception) -> None:
        """After a batch broke: each row that it left by itself. Its neighbours, which may be another arm's,
        would else fail with the one at fault as often as they are asked for together."""
        for row in [row for row in rows if not row.future.done()]:
            try:
                if len(rows) == 1:
                    raise error
                self._run_batch([row])
            except Exception as its_own:
                settle(row.future, _too_large(1) if is_out_of_memory(its_own) else its_own)

    def _unload(self, name: str) -> None:
        self._adapters.unload(name)
        self._prefixes.forget(name)

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


def _too_large(rows: int) -> Refusal:
    message = f"{rows} such answers at once need more memory than there is: ask for fewer, or shorter ones"
    return Refusal(message, status=503, kind="ServiceUnavailableError")


def _closing() -> Refusal:
    return Refusal("the server is closing", status=503, kind="ServiceUnavailableError")
