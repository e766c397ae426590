"""`ratchet bench lawbench`: the cost of the services on top of the model, and how time grows with the cases.

    python -m benchmarks.lawbench [--task lawbench] [--cases 25] [--root runs] [--out FILE]

End to end: `ratchet eval` on 1, 2, 4 and 8 times as many train cases, from the event that opens the rollout
to the end of the run (starting programs and building the seed model stand apart). Direct: the very prompts of
the largest one, sent to a model server of its own, one by one in a loop. Both on this machine, one after the
other.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from ratchet.runs import evaluate as evaluation
from ratchet.runs import parts
from ratchet.runs.folder import RunFolder
from ratchet.runs.request import resolve_config
from shared.machine import machine_and_date
from shared.messages.events import BaseReady, RolloutsOpened, RunFinished, ShardFinished
from shared.messages.records import JsonObject
from shared.store.shards import get_shard
from shared.store.store import materialize
from shared.tasks.task import Task, find_task

FACTORS = (1, 2, 4, 8)
SERVER_START_S = 120.0


def main(arguments: list[str]) -> JsonObject:
    parser = argparse.ArgumentParser(prog="ratchet bench lawbench", description=__doc__)
    parser.add_argument("--task", default="lawbench")
    parser.add_argument("--cases", type=int, default=25)
    parser.add_argument("--root", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true", help="accepted for likeness: JSON is all it prints")
    asked = parser.parse_args(arguments)
    task = find_task(asked.task)
    evaluated = [evaluate(task, factor * asked.cases, asked.root) for factor in FACTORS]
    times_s = [seconds(folder) for folder in evaluated]
    direct = ask_directly(evaluated[-1], asked.root)
    most = FACTORS[-1] * asked.cases
    result = {
        **machine_and_date(),
        "cases": [factor * asked.cases for factor in FACTORS],
        "end_to_end_s": [round(time_s, 2) for time_s in times_s],
        "growth": [round(time_s / times_s[0], 2) for time_s in times_s],
        "end_to_end_cases_per_s": round(most / times_s[-1], 1),
        "direct_cases_per_s": round(1 / direct, 1),
        "overhead_ratio": round(times_s[-1] / most / direct, 2),
    }
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def evaluate(task: Task, count: int, root: Path) -> RunFolder:
    """The seed release on so many train cases; where the task has fewer, again and again under other ids."""
    lines = (task.folder / "data" / "train.jsonl").read_text(encoding="utf-8").strip().split("\n")
    cases = [json.loads(lines[number % len(lines)]) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cases.jsonl"
        rows = (case | {"id": f"case-{number}"} for number, case in enumerate(cases))
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        config = resolve_config(str(task.folder), None, [], None)
        made, _ = evaluation.score(task, config, parts.resolve(None, []), None, path, root)
    return made


def seconds(folder: RunFolder) -> float:
    """From the opened rollout to the end, by the ledger's clock."""
    at = {type(logged.event): logged.at for logged in folder.open_ledger().events(folder.run_id)}
    return at[RunFinished] - at[RolloutsOpened]


def ask_directly(folder: RunFolder, root: Path) -> float:
    """Seconds a case for the model alone: the evaluation's own prompts, one at a time over one connection."""
    store = folder.open_store()
    events = [logged.event for logged in folder.open_ledger().events(folder.run_id)]
    base = next(event.base for event in events if isinstance(event, BaseReady))
    shards = [event.result for event in events if isinstance(event, ShardFinished) and event.result]
    asks = [
        ask
        for shard in shards
        for attempt in get_shard(store, shard).attempts
        for ask in attempt.turns[0].action["ask"]
    ]
    with served(materialize(store, base, root.resolve() / ".cache/bundles")) as client:
        post(client, asks[0])
        started_s = time.perf_counter()
        for ask in asks:
            post(client, ask)
        return (time.perf_counter() - started_s) / len(asks)


def post(client: httpx.Client, ask: JsonObject) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ask["schema"]}}
    body = {"model": "seed", "messages": ask["messages"], "max_tokens": ask["max_tokens"]}
    reply = client.post("/chat/completions", json=body | {"response_format": schema})
    reply.raise_for_status()


@contextmanager
def served(model: Path) -> Iterator[httpx.Client]:
    """A model server of its own, as a run starts it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    command = [sys.executable, "-m", "agent_service.model_server", "--model", str(model), "--name", "seed"]
    server = subprocess.Popen([*command, "--port", str(port)], stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/v1", timeout=60) as client:
            wait(client)
            yield client
    finally:
        server.terminate()
        server.wait()


def wait(client: httpx.Client) -> None:
    end_s = time.monotonic() + SERVER_START_S
    while True:
        try:
            client.get("/models").raise_for_status()
            return
        except httpx.HTTPError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.3)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
