"""The model server's access control, limits and folder of adapters, over HTTP."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from agent_service.model_server import prompts
from agent_service.model_server.access import MOST_BODY_BYTES
from agent_service.model_server.adapters import Adapters
from agent_service.model_server.app import create_app
from agent_service.model_server.engine import Engine
from agent_service.model_server.idempotency import ReplyCache
from agent_service.model_server.loading import load_language_model
from agent_service.model_server.prompts import Prompter
from benchmarks._listening import listening
from tests.parts.tiny_model import write_adapter, write_model

KEY = "a-key"
CHAT = {"model": "base", "messages": [{"role": "user", "content": "pick a tile"}], "max_tokens": 3}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adapters")


@pytest.fixture(scope="module")
def client(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    base = write_model(tmp_path_factory.mktemp("model"))
    for folder in (root / "good", root.parent / "outside"):
        write_adapter(folder, base, 1)
    language = load_language_model(base, torch.device("cpu"))
    engine = Engine(language, Adapters(language.model, "base", max_loras=8))
    app = create_app(engine, Prompter(language), ReplyCache(None), api_key=KEY, adapters_root=root)
    headers = {"Authorization": f"Bearer {KEY}"}
    with (
        listening(app) as url,
        httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as client,
    ):
        yield client
    engine.close()


def ask(client: httpx.Client, **change: Any) -> httpx.Response:
    return client.post("/v1/chat/completions", json=CHAT | change)


def nested(depth: int) -> str:
    schema = '{"type":"object","properties":{"a":' * depth + '{"type":"string"}' + "}}" * depth
    chat = '{"model":"base","messages":[{"role":"user","content":"x"}],"max_tokens":3,"response_format":'
    return chat + '{"type":"json_schema","json_schema":{"name":"s","schema":' + schema + "}}}"


@pytest.mark.parametrize("given", ["", "Bearer wrong", "Bearer", KEY, "Bearer a-key2"])
def test_without_the_key_nothing_is_answered_but_health(client: httpx.Client, given: str) -> None:
    headers = {"Authorization": given}
    calls = [("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("POST", "/v1/load_lora_adapter")]
    for method, path in calls:
        reply = client.request(method, path, headers=headers, json=CHAT)
        assert reply.status_code == 401
        assert reply.json()["error"]["type"] == "AuthenticationError"
    assert client.get("/health", headers=headers).text == "ok"
    assert ask(client).status_code == 200


def test_a_body_beyond_the_limit_is_refused_also_where_its_length_is_not_told(client: httpx.Client) -> None:
    too_large = "x" * MOST_BODY_BYTES
    assert ask(client, user=too_large).status_code == 413
    pieces = (too_large[:65536].encode() for _ in range(1 + MOST_BODY_BYTES // 65536))
    assert client.post("/v1/chat/completions", content=pieces).status_code == 413
    assert ask(client, user="x" * (MOST_BODY_BYTES // 2)).status_code == 200


@pytest.mark.parametrize("depth", [100, 200, 5000, 100_000])
def test_a_schema_that_is_nested_deeply_is_a_wrong_request_and_no_error_of_the_server(
    client: httpx.Client, depth: int
) -> None:
    headers = {"Content-Type": "application/json"}
    reply = client.post("/v1/chat/completions", content=nested(depth), headers=headers)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"]
    assert client.post("/v1/chat/completions", content=nested(20), headers=headers).status_code == 200


def test_answers_times_tokens_are_bounded(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "MOST_TOKENS", 12)
    assert ask(client, n=4, max_tokens=3).status_code == 200
    reply = ask(client, n=4, max_tokens=4)
    assert reply.status_code == 400
    assert "4 answers of 4 tokens, at most 12 together" in reply.json()["error"]["message"]
    assert ask(client, n=1025, max_tokens=1).status_code == 400


def test_what_is_no_json_or_no_path_is_said_in_openais_shape(client: httpx.Client) -> None:
    for reply, status in (
        (client.post("/v1/chat/completions", content="{"), 400),
        (client.get("/v1/x"), 404),
    ):
        assert reply.status_code == status
        assert reply.json()["error"]["code"] == status


def test_only_regular_files_below_the_adapters_folder_are_opened(client: httpx.Client, root: Path) -> None:
    def load(name: str, path: Path | str) -> httpx.Response:
        return client.post("/v1/load_lora_adapter", json={"lora_name": name, "lora_path": str(path)})

    (root / "link").symlink_to(root.parent / "outside")
    (root / "linked_file").mkdir()
    (root / "fifo").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (root / "linked_file" / name).symlink_to(root.parent / "outside" / name)
        os.mkfifo(root / "fifo" / name)
    for path, reason in (
        (root.parent / "outside", "is not in"),
        (f"{root}/../outside", "is not in"),
        (root / "link", "is not in"),
        (root / "linked_file", "it is a link"),
        (root / "fifo", "no such file"),
        (root / "none", "no such file"),
        ("/proc/self/fd", "is not in"),
    ):
        reply = load("x", path)
        assert reply.status_code == 400
        assert reason in reply.json()["error"]["message"]
    assert load("good", root / "good").status_code == 200
