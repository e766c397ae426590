"""The model server over HTTP, with the plain `openai` client, as agent_service and any user would speak to
it.
"""

import contextlib
import gc
import json
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import torch

from agent_service.model_server import idempotency
from agent_service.model_server.adapters import Adapters
from agent_service.model_server.app import create_app
from agent_service.model_server.engine import Engine
from agent_service.model_server.idempotency import ReplyCache
from agent_service.model_server.loading import load_language_model
from agent_service.model_server.prompts import Prompter
from benchmarks._listening import listening
from tests.parts.tiny_model import write_adapter, write_model
from tests.running import ends_soon

MESSAGES: Any = [{"role": "user", "content": "pick a tile and an order"}]
SCHEMA = {
    "type": "object",
    "properties": {"tile": {"enum": [3, 5, 8]}, "kind": {"const": "blocked"}},
    "required": ["tile", "kind"],
    "additionalProperties": False,
}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    write_model(root / "base")
    for seed in (1, 2):
        write_adapter(root / f"adapter{seed}", root / "base", seed)
    return root


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    language = load_language_model(folder / "base", torch.device("cpu"))
    engine = Engine(language, Adapters(language.model, "base", max_loras=8))
    with listening(create_app(engine, Prompter(language), ReplyCache(None))) as address:
        yield address
    engine.close()


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def post(url: str, path: str, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{url}{path}", json=body, timeout=60)


def test_chat_gives_text_ids_log_probabilities_and_free_flags_that_belong_together(
    client: openai.OpenAI,
) -> None:
    reply = client.chat.completions.create(
        model="base", messages=MESSAGES, n=3, seed=4, max_tokens=40, logprobs=True, response_format=FORMAT,
        extra_body={"return_token_ids": True},
    )  # fmt: skip
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    extra: Any = reply.model_extra
    assert reply.usage is not None
    assert len(extra["prompt_token_ids"]) == reply.usage.prompt_tokens
    for choice in reply.choices:
        assert choice.message.content is not None
        assert json.loads(choice.message.content)["kind"] == "blocked"
        assert " " not in choice.message.content
        fields: Any = choice.model_extra
        assert choice.logprobs is not None
        assert choice.logprobs.content is not None
        tokens = "".join(item.token for item in choice.logprobs.content)
        assert tokens == choice.message.content + "</s>"
        assert len(fields["token_ids"]) == len(fields["free_tokens"]) == len(choice.logprobs.content)
        assert sum(fields["free_tokens"]) == 1  # the tile; the rest follows from it
        assert choice.finish_reason == "stop"
    assert reply.usage.completion_tokens == sum(
        len((c.model_extra or {})["token_ids"]) for c in reply.choices
    )


def test_the_same_seed_gives_the_same_choices_and_another_does_not(client: openai.OpenAI) -> None:
    def texts(seed: int, n: int) -> list[str | None]:
        reply = client.chat.completions.create(model="base", messages=MESSAGES, n=n, seed=seed, max_tokens=20)
        return [choice.message.content for choice in reply.choices]

    assert texts(1, 4) == texts(1, 4)
    assert texts(1, 2) == texts(1, 4)[:2]
    assert texts(1, 4) != texts(2, 4)
    assert len(set(texts(1, 4))) == 4


def test_a_reply_that_was_asked_for_under_a_key_is_given_again_and_not_made_again(
    client: openai.OpenAI,
) -> None:
    def ask(key: str, **change: Any) -> tuple[str | None, float]:
        reply = client.chat.completions.create(
            **{"model": "base", "messages": MESSAGES, "max_tokens": 20} | change,
            extra_headers={"Idempotency-Key": key},
        )
        extra: Any = reply.model_extra
        return reply.choices[0].message.content, extra["waited_s"]

    first = ask("one")  # without a seed: made again, it would be another
    assert ask("one") == first  # with the time that its making took
    assert first[1] > 0
    assert ask("two")[0] != first[0]
    assert ask("one", max_tokens=19)[0] != first[0]  # the key alone does not make it the same request


def test_remembered_replies_outlive_the_server_and_the_oldest_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MOST_REPLIES", 2)
    for number in range(3):
        ReplyCache(tmp_path / "replies").keep(f"key{number}", {"n": number}, {"reply": number})
    again = ReplyCache(tmp_path / "replies")
    assert [again.find(f"key{n}", {"n": n}) for n in range(3)] == [None, {"reply": 1}, {"reply": 2}]


def test_answers_without_a_seed_differ(client: openai.OpenAI) -> None:
    replies = [
        client.chat.completions.create(model="base", messages=MESSAGES, max_tokens=20) for _ in range(2)
    ]
    assert replies[0].choices[0].message.content != replies[1].choices[0].message.content


def test_many_clients_at_once_get_what_each_would_get_alone(client: openai.OpenAI) -> None:
    def ask(seed: int) -> str | None:
        reply = client.chat.completions.create(model="base", messages=MESSAGES, seed=seed, max_tokens=20)
        return reply.choices[0].message.content

    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(ask, range(24)))
    assert together[::8] == [ask(seed) for seed in range(0, 24, 8)]


def test_adapters_are_loaded_listed_used_and_unloaded_while_requests_run(
    url: str, client: openai.OpenAI, folder: Path
) -> None:
    def ask(model: str) -> str | None:
        reply = client.chat.completions.create(model=model, messages=MESSAGES, seed=1, max_tokens=20)
        return reply.choices[0].message.content

    def asking(answers: "queue.Queue[str | None]", stop: threading.Event) -> None:
        while not stop.is_set():
            answers.put(ask("base"))

    expected, seen, stop = ask("base"), queue.Queue[str | None](), threading.Event()
    background = threading.Thread(target=asking, args=(seen, stop))
    background.start()
    answers = []
    for seed in (1, 2):
        body = {"lora_name": f"run-g{seed}", "lora_path": str(folder / f"adapter{seed}")}
        assert post(url, "/v1/load_lora_adapter", body).status_code == 200
        answers.append(ask(f"run-g{seed}"))
    assert [model.id for model in client.models.list()] == ["base", "run-g1", "run-g2"]
    assert ask("run-g1") == answers[0] != answers[1] == ask("run-g2")
    for seed in (1, 2):
        assert post(url, "/v1/unload_lora_adapter", {"lora_name": f"run-g{seed}"}).status_code == 200
    stop.set()
    background.join()
    assert {seen.get() for _ in range(seen.qsize())} == {expected}
    with pytest.raises(openai.NotFoundError, match="run-g1"):
        ask("run-g1")


def test_errors_have_openais_shape_and_say_what_is_wrong(
    url: str, client: openai.OpenAI, folder: Path
) -> None:
    chat = {"model": "base", "messages": MESSAGES}
    bad_schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "nonsense"}}}
    cases: list[tuple[str, dict[str, Any], int, str]] = [
        ("chat/completions", chat | {"model": "nobody"}, 404, "nobody"),
        ("completions", {"model": "nobody", "prompt": "x"}, 404, "nobody"),
        (
            "completions",
            {"model": "nobody", "prompt": [5, 6], "prompt_logprobs": 0, "max_tokens": 0},
            404,
            "nobody",
        ),
        ("chat/completions", chat | {"stream": True}, 400, "stream"),
        ("chat/completions", chat | {"tools": []}, 400, "tools"),
        ("chat/completions", chat | {"temperature": -1}, 400, "temperature"),
        ("chat/completions", chat | {"max_tokens": 100_000}, 400, "context is 256"),
        ("chat/completions", chat | {"messages": MESSAGES * 200}, 400, "context is 256"),
        ("chat/completions", chat | {"response_format": bad_schema}, 400, "schema can't be compiled"),
        ("completions", {"model": "base", "prompt": [10**6]}, 400, "token ids outside"),
        ("completions", {"model": "base", "prompt": ""}, 400, "prompt is empty"),
        ("load_lora_adapter", {"lora_name": "x", "lora_path": str(folder / "none")}, 400, "can't be read"),
        ("load_lora_adapter", {"lora_name": "base", "lora_path": str(folder / "adapter1")}, 400, "taken"),
        ("unload_lora_adapter", {"lora_name": "never"}, 404, "never"),
    ]
    for path, body, status, reason in cases:
        reply = post(url, f"/v1/{path}", body)
        assert reply.status_code == status, reply.text
        error = reply.json()["error"]
        assert reason in error["message"]
        assert error["code"] == status
        assert error["type"]


def test_completions_take_text_or_ids_and_give_the_prompts_log_probabilities(url: str) -> None:
    body = {"model": "base", "prompt": "pick a tile", "max_tokens": 3, "seed": 1, "return_token_ids": True}
    by_text = post(url, "/v1/completions", body | {"prompt_logprobs": 0}).json()["choices"][0]
    ids = by_text["prompt_token_ids"]
    by_ids = post(url, "/v1/completions", body | {"prompt": ids, "prompt_logprobs": 0}).json()["choices"][0]
    assert by_ids == by_text
    assert len(by_text["token_ids"]) == 3
    head, *scored = by_text["prompt_logprobs"]
    assert head is None
    assert [list(entry) for entry in scored] == [[str(token)] for token in ids[1:]]
    only_prompt = post(
        url, "/v1/completions", body | {"prompt": ids, "max_tokens": 0, "prompt_logprobs": 0}
    ).json()
    assert only_prompt["choices"][0]["prompt_logprobs"] == by_text["prompt_logprobs"]
    assert only_prompt["usage"]["completion_tokens"] == 0


def test_a_client_that_goes_away_neither_wedges_the_queue_nor_is_logged_as_an_error(
    url: str, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        with contextlib.suppress(httpx.TimeoutException):
            body = {"model": "base", "messages": MESSAGES, "n": 300, "max_tokens": 200}
            httpx.post(f"{url}/v1/chat/completions", json=body, timeout=0.05)
    assert client.chat.completions.create(model="base", messages=MESSAGES, max_tokens=5, timeout=60).choices
    assert httpx.get(f"{url}/health").status_code == 200
    gc.collect()  # a future whose end nobody asked for is logged when it is gone
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.slow
def test_the_program_says_when_it_is_ready_and_ends_with_its_parent(folder: Path) -> None:
    """The parent is a small program of its own, killed the hard way."""
    serve = [sys.executable, "-m", "agent_service.model_server", "--model", str(folder / "base")]
    serve += ["--port", "0", "--name", "tiny"]
    program = (
        f"import subprocess, time; p = subprocess.Popen({serve!r}); print(p.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stderr is not None
    server_pid = int(parent.stdout.readline())
    ready = next(line for line in parent.stderr if "ready: tiny" in line)
    url = re.search(r"http://127\.0\.0\.1:\d+/v1", ready)
    assert url is not None
    assert [model["id"] for model in httpx.get(f"{url[0]}/models").json()["data"]] == ["tiny"]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    parent.stderr.close()
    assert ends_soon(server_pid, 30), "the server outlived its parent"


def test_a_port_in_use_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        serve = [sys.executable, "-m", "agent_service.model_server", "--model", str(tmp_path / "none")]
        done = subprocess.run([*serve, "--port", str(port), "--name", "a"], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"can't serve on 127.0.0.1:{port}: Address already in use (give another --port" in done.stderr
    assert "Traceback" not in done.stderr
