"""Gathers requests that arrive together into one batch for the answerer, whose thread is this one alone."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

from ratchet.serving.answerer import Answer, Answerer
from shared.messages.records import JsonObject, Release

MOST = 32  # instances a batch
GATHER_S = 0.02  # how long a first request waits for others


class Batches:
    """`release()` is asked once a batch, so that a promotion between two batches switches the release, and
    every answer of a batch is under one."""

    def __init__(self, answerer: Answerer, release: Callable[[], Release]) -> None:
        self._answerer = answerer
        self._release = release
        self._queue: queue.Queue[tuple[JsonObject, Future[Answer]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="answerer", daemon=True)
        self._thread.start()

    def submit(self, instance: JsonObject) -> Future[Answer]:
        future: Future[Answer] = Future()
        self._queue.put((instance, future))
        return future

    def close(self) -> None:
        """Answers what was submitted, then ends."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            while len(batch) < MOST:
                try:
                    more = self._queue.get(timeout=GATHER_S)
                except queue.Empty:
                    break
                if more is None:
                    self._queue.put(None)
                    break
                batch.append(more)
            self._answer(batch)

    def _answer(self, batch: list[tuple[JsonObject, Future[Answer]]]) -> None:
        futures = [future for _, future in batch]
        try:
            answers = self._answerer.answer([instance for instance, _ in batch], self._release())
        except Exception as error:  # any error goes to the callers, and the next batch may succeed
            for future in futures:
                future.set_exception(error)
            return
        for future, answer in zip(futures, answers, strict=True):
            future.set_result(answer)
