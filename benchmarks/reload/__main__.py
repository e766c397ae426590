"""`ratchet bench reload`: seconds from a published adapter to the first answer under it, and from a new
harness to its first step, while other requests load the same server.

    python -m benchmarks.reload [--swaps 40] [--clients 3] [--task trimul] [--json]

The model server, the agent's loading (unpack, signature, digests, weights, load, fingerprint) and the
scaffold's box are the real ones; the doorbell that wakes the agent (milliseconds) is not in it. All the while
`clients` threads ask for greedy answers under the live release and the one before. A request that fails, and
an answer that is another release's, are counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from agent_service.adapters import Adapters
from benchmarks.reload.made import QUESTION, REPLY_TOKENS, RUN, Made, make_adapters, make_base
from benchmarks.serving import running
from ratchet.stack.side_programs import take_port
from shared.box.open import open_box
from shared.harness.bundle import load_harness
from shared.harness.steps import ScaffoldPool, scaffold_context
from shared.machine import machine_and_date
from shared.messages.records import JsonObject, Release
from shared.model.client import Chat
from shared.store.signing import make_key, public_name, read_key
from shared.store.store import LocalStore, get_bundle, materialize, put_bundle, read_folder
from shared.store.trust import Trust
from shared.tasks.draws import draw
from shared.tasks.task import load_task

TIMEOUT_S = 60.0


class Load:
    """Clients that keep asking. `live`: the releases that they may name, the newest last."""

    def __init__(self, url: str, clients: int) -> None:
        self.live: list[Made] = []
        self.asked = self.failed = self.wrong = 0
        self._url, self._ended, self._lock = url, threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask_on, args=(n,)) for n in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self, number: int) -> None:
        while not self._ended.is_set():
            if self.live:
                self.ask(self.live[-1 - number % len(self.live)])
            else:
                time.sleep(0.01)

    def ask(self, made: Made) -> None:
        body = {"model": made.name, "messages": QUESTION, "max_tokens": REPLY_TOKENS, "temperature": 0}
        try:
            reply = httpx.post(f"{self._url}/chat/completions", json=body, timeout=TIMEOUT_S, trust_env=False)
            text = reply.raise_for_status().json()["choices"][0]["message"]["content"]
        except httpx.HTTPError as error:
            print(f"{made.name}: {error!r}", file=sys.stderr)
            text = None
        with self._lock:
            self.asked += 1
            self.failed += text is None
            self.wrong += text is not None and text.strip() != made.text.strip()


def main(arguments: list[str]) -> JsonObject:
    parser = argparse.ArgumentParser(prog="ratchet bench reload", description=__doc__)
    parser.add_argument("--swaps", type=int, default=40)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--task", default="trimul")
    parser.add_argument("--json", action="store_true", help="accepted for likeness: JSON is all it prints")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = make_base(folder)
        made = list(make_adapters(base, folder / "adapters", asked.swaps))
        with serving(base) as url, Load(url, asked.clients) as load:
            adapter_s = swap_adapters(made, load, url, folder)
            harness_s = swap_harnesses(asked.task, asked.swaps, folder)
    return {
        **machine_and_date(),
        "settings": {"swaps": asked.swaps, "clients": asked.clients, "task": asked.task},
        "adapter_s": percentiles(adapter_s),
        "harness_s": percentiles(harness_s),
        "requests": {
            "answered": load.asked - load.failed,
            "failed": load.failed,
            "wrong_release": load.wrong,
        },
        "releases_that_answer_alike": len(made) - len({one.text for one in made}),
    }


@contextmanager
def serving(base: Path) -> Iterator[str]:
    port = take_port(0, "--port")
    options = ["--model", str(base), "--name", "seed", "--port", str(port), "--threads", "1"]
    with running([sys.executable, "-m", "agent_service.model_server", *options], port):
        yield f"http://127.0.0.1:{port}/v1"


def swap_adapters(made: list[Made], load: Load, url: str, folder: Path) -> list[float]:
    """Each from its manifest in the store to the first answer under it. The release before stays served."""
    store, key = LocalStore(folder / "store"), read_key(make_key())
    chat = Chat(url, store, api_key="k", timeout_s=TIMEOUT_S, concurrency=4)
    adapters, trust = Adapters(chat, store, folder / "cache", "seed"), Trust(RUN, public_name(key))
    times_s: list[float] = []
    before: list[Release] = []
    for one in made:
        release = one.publish(store, key)
        published_s = time.perf_counter()
        adapters.ensure([*before, release], trust)
        load.ask(one)
        times_s.append(time.perf_counter() - published_s)
        load.live = [*load.live[-1:], one]
        before = [release]
        time.sleep(0.2)  # the clients ask under it
    chat.close()
    return times_s


def swap_harnesses(name: str, count: int, folder: Path) -> list[float]:
    """Each from its bundle in the store to the first step of its scaffold, which must say what it says."""
    task, store = load_task(name), LocalStore(folder / "store")
    seed = read_folder(task.folder / "harness")
    prompt = next(path for path in sorted(seed) if path.endswith("user.md"))
    (instance,) = draw(task, "train", 1, 0)
    times_s = []
    with ScaffoldPool(open_box()) as pool:
        for number in range(count):
            mark = f"This is harness {number} of {count}."
            digest = put_bundle(store, seed | {prompt: seed[prompt] + f"\n{mark}\n".encode()})
            published_s = time.perf_counter()
            place = materialize(store, digest, folder / "harnesses")
            harness = load_harness(get_bundle(store, digest))
            context = scaffold_context(task, harness, None, 0)
            payload = {"instance": instance, "history": [], "knobs": harness.values, "context": context}
            action = pool.step(digest, place, payload, task.manifest.attempt, task.public)
            times_s.append(time.perf_counter() - published_s)
            if mark not in json.dumps(action):
                raise SystemExit(f"harness {number} did not answer as itself: {action}")
    return times_s


def percentiles(times_s: list[float]) -> JsonObject:
    ordered = sorted(times_s)
    return {
        "p50": round(statistics.median(ordered), 4),
        "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 4),
        "most": round(ordered[-1], 4),
        "swaps": len(ordered),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=2))
