"""`ratchet bench serving`: prompt and reply tokens a second of our model server, transformers, and
llama.cpp's server on the same GGUF.

ratchet bench serving --json --out benchmarks/results/serving.json

All get the same prompts (one beginning, unlike ends, as a harness asks) and answer them in turn on all
cores. llama.cpp's server runs where its package is installed: uv pip install --no-deps xllamacpp.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

from ratchet.stack.side_programs import take_port
from shared.machine import machine_and_date
from trainer_service.base.pretrained import find_source, model_folder

START_S = 300.0
REQUEST_S = 600.0
REPLY_TOKENS = 32
LABELS = (
    "card arrival, card lost, exchange rate, top-up failed, transfer fee, wrong amount, pin blocked, refund"
)
SYSTEM = (
    "You sort the queries of a bank's customers. Read the query, think of what the customer wants, "
    f"and choose one of these labels: {LABELS}. Then explain your choice in two plain sentences."
)
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
LLAMA_SERVER = """
import sys, time, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port = sys.argv[1], int(sys.argv[2])
params.n_parallel, params.n_ctx = int(sys.argv[3]), 1024 * int(sys.argv[3])
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[4])
server = xllamacpp.Server(params)
time.sleep(1e6)
"""

Messages = list[dict[str, str]]
# messages of each request, reply tokens -> prompt tokens and reply tokens of all
Answer = Callable[[Sequence[Messages], int], tuple[int, int]]


@dataclass(frozen=True)
class Speed:
    engine: str
    prompt_tokens_s: float  # prompts read, one token of reply each
    reply_tokens_s: float  # replies written, the reading of their prompts included in the time
    prompt_tokens: int
    reply_tokens: int


def main(arguments: list[str]) -> dict[str, Any]:
    options = _options(arguments)
    folder = model_folder(options.model, options.cache, _cores())
    source = find_source(options.model)
    speeds = []
    with _our_server(folder, _cores()) as answer:
        speeds.append(measure("ratchet model server", answer, options.requests))
    batched, single = _transformers(folder, batch=options.requests), _transformers(folder, batch=1)
    speeds.append(measure("transformers generate, one batch", batched, options.requests))
    speeds.append(measure("transformers generate, one by one", single, options.requests))
    if find_spec("xllamacpp") and isinstance(source, Path) and source.is_file():
        with _llama_server(source, options.requests, _cores()) as answer:
            speeds.append(measure("llama.cpp server (GGUF, quantized)", answer, options.requests))
    return {
        **machine_and_date(),
        "load_average": os.getloadavg()[0],
        "model": options.model,
        "requests": options.requests,
        "speeds": [asdict(speed) for speed in speeds],
    }


def measure(engine: str, answer: Answer, requests: int) -> Speed:
    """After a first request, which pays for what is done once. No prompt comes twice."""
    answer([prompt(0, "warm")], 2)
    started_s = time.perf_counter()
    prompt_tokens, _ = answer([prompt(n, "read") for n in range(requests)], 1)
    read_s = time.perf_counter() - started_s
    started_s = time.perf_counter()
    _, reply_tokens = answer([prompt(n, "reply") for n in range(requests)], REPLY_TOKENS)
    replied_s = time.perf_counter() - started_s
    speed = Speed(engine, prompt_tokens / read_s, reply_tokens / replied_s, prompt_tokens, reply_tokens)
    print(speed, file=sys.stderr, flush=True)
    return speed


def prompt(number: int, kind: str) -> Messages:
    what = f"My {ORDINALS[number % 8]} {kind} of {17 * number + 3} pounds"
    query = f"{what} is not there after {number} days."
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": query}]


def _over_http(url: str, name: str) -> Answer:
    def ask(messages: Messages, tokens: int) -> tuple[int, int]:
        body = {"model": name, "messages": messages, "max_tokens": tokens, "temperature": 0}
        reply = httpx.post(f"{url}/chat/completions", json=body, timeout=REQUEST_S, trust_env=False)
        usage = reply.raise_for_status().json()["usage"]
        return usage["prompt_tokens"], usage["completion_tokens"]

    def answer(prompts: Sequence[Messages], tokens: int) -> tuple[int, int]:
        with ThreadPoolExecutor(len(prompts)) as pool:
            counts = list(pool.map(lambda messages: ask(messages, tokens), prompts))
        return sum(read for read, _ in counts), sum(written for _, written in counts)

    return answer


@contextmanager
def _our_server(folder: Path, threads: int) -> Iterator[Answer]:
    port = take_port(0, "--port")
    options = ["--model", str(folder), "--name", "m", "--port", str(port), "--threads", str(threads)]
    with running([sys.executable, "-m", "agent_service.model_server", *options], port):
        yield _over_http(f"http://127.0.0.1:{port}/v1", "m")


@contextmanager
def _llama_server(file: Path, slots: int, threads: int) -> Iterator[Answer]:
    port = take_port(0, "--port")
    arguments = [str(file), str(port), str(slots), str(threads)]
    with running([sys.executable, "-c", LLAMA_SERVER, *arguments], port):
        yield _over_http(f"http://127.0.0.1:{port}/v1", "m")


def _transformers(folder: Path, batch: int) -> Answer:
    """In this process: plain generate, prompts padded on the left."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(_cores())
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def generate(prompts: Sequence[Messages], tokens: int) -> tuple[int, int]:
        texts = [
            tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts
        ]
        given = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            written = model.generate(**given, max_new_tokens=tokens, do_sample=False)
        replies = written[:, given["input_ids"].shape[1] :]
        return int(given["attention_mask"].sum()), sum(_length(row, tokenizer) for row in replies.tolist())

    def answer(prompts: Sequence[Messages], tokens: int) -> tuple[int, int]:
        parts = [generate(prompts[i : i + batch], tokens) for i in range(0, len(prompts), batch)]
        return sum(read for read, _ in parts), sum(written for _, written in parts)

    return answer


def _length(tokens: list[int], tokenizer: Any) -> int:
    """Up to the end token, itself included."""
    end = tokenizer.eos_token_id
    return tokens.index(end) + 1 if end in tokens else len(tokens)


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end_s = time.monotonic() + START_S
    try:
        while not _is_up(port):
            if server.poll() is not None or time.monotonic() > end_s:
                raise SystemExit(f"{command[2]} did not start")
            time.sleep(0.3)
        yield
    finally:
        server.kill()
        server.wait()


def _is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ratchet bench serving", description=__doc__)
    parser.add_argument("--model", default="smollm2", help="as in model.base")
    parser.add_argument("--requests", type=int, default=16, help="at once")
    parser.add_argument("--cache", type=Path, default=Path("runs/.cache"))
    parser.add_argument("--json", action="store_true", help="accepted for likeness: JSON is all it prints")
    parser.add_argument("--out", type=Path, help="also write the JSON there")
    parser.add_argument("--note", default="", help="a sentence to stand beside the numbers")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    given = _options(sys.argv[1:])
    found = main(sys.argv[1:]) | ({"note": given.note} if given.note else {})
    text = json.dumps(found, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")
