"""The comparison: the same chains on Celery alone, with its own defaults. A task publishes the next one. What
is lost here stays lost, and what is run twice counts twice.

As a program: a worker; BROKER_URL PROCESSES.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import redis
from celery import Celery

from shared.children import die_with_parent

QUEUE, ENDED = "bare", "bare-ended"
POLL_S = 0.05


def make_app(broker_url: str) -> Celery:
    """Celery's defaults but for what the comparison needs: acknowledged late, run in processes."""
    app = Celery("bare", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        task_default_queue=QUEUE,
        worker_pool="prefork",
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
    )
    ended = redis.Redis.from_url(broker_url)

    @app.task(name="bare.link")  # type: ignore[untyped-decorator]
    def link(chain: str, left: int) -> None:
        if left > 1:
            app.send_task("bare.link", args=[chain, left - 1], queue=QUEUE)
        else:
            ended.rpush(ENDED, chain)

    return app


class Bare:
    """A worker with so many processes; context manager."""

    def __init__(self, broker_url: str, processes: int, log: Path) -> None:
        self.app = make_app(broker_url)
        self.client = redis.Redis.from_url(broker_url)
        self._argv = [sys.executable, "-m", "benchmarks.jobs.bare", broker_url, str(processes)]
        self._log = log

    def __enter__(self) -> Bare:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, stdout=log, stderr=log, preexec_fn=die_with_parent, start_new_session=True
            )
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self.client.close()

    def seconds_for(self, chains: int, links: int, limit_s: float) -> float:
        """How long these take, from the first message to the end of the last job."""
        self.client.delete(ENDED)
        started_s = time.perf_counter()
        for chain in range(chains):
            self.app.send_task("bare.link", args=[str(chain), links], queue=QUEUE)
        while self.client.llen(ENDED) < chains:
            if time.perf_counter() - started_s > limit_s:
                raise SystemExit(f"bare Celery did not end {chains} chains in {limit_s} s")
            time.sleep(POLL_S)
        return time.perf_counter() - started_s


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    url, count = sys.argv[1:]
    make_app(url).Worker(concurrency=int(count), loglevel=logging.WARNING).start()
