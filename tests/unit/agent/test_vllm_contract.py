"""The agent's adapters on an endpoint that behaves as vLLM documents."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_service.adapters import Adapters
from ratchet.runs.endpoint_probe import why_no_adapters
from shared.config.settings import ModelSection
from shared.errors import ArtifactError
from shared.messages.records import Release
from shared.model.client import Chat
from shared.model.wire import SampleRequest
from shared.store.store import LocalStore, put_bundle
from tests.parts.endpoint import base_logprobs
from tests.parts.vllm import Vllm

IDS = [5, 6, 7, 8]
BASE = base_logprobs(IDS)
SHIFTED = [value + 0.25 for value in BASE]


@contextmanager
def world(tmp_path: Path, **options: Any) -> Iterator[tuple[Vllm, Chat, Adapters, LocalStore]]:
    store = LocalStore(tmp_path / "store")
    with Vllm(**options) as endpoint:
        chat = Chat(endpoint.url, store, api_key="k", timeout_s=20, concurrency=4)
        yield endpoint, chat, Adapters(chat, store, tmp_path / "cache", "seed"), store
        chat.close()


def publish(store: LocalStore, name: str, **change: Any) -> Release:
    mark = {"token_ids": IDS, "logprobs": SHIFTED, "base_logprobs": BASE}
    card = {"name": name, "base": "basedigest", "fingerprint": mark, "norm": 0.1, "served": SHIFTED}
    digest = put_bundle(store, {"ratchet.json": json.dumps(card | change).encode()})
    return Release(base="basedigest", harness="h", adapter=digest)


def test_an_adapter_is_loaded_verified_and_used(tmp_path: Path) -> None:
    with world(tmp_path) as (endpoint, chat, adapters, store):
        release = publish(store, "run-g1-aa")
        served = adapters.ensure([release])[release.digest]
        request = SampleRequest(served.name, [{"role": "user", "content": "hi"}], seed=1, max_tokens=5)
        assert chat.sample([request]).replies[0].samples[0].text == "ok"
        assert endpoint.asked[-1]["model"] == "run-g1-aa"


def test_an_adapter_that_another_worker_loaded_is_no_error(tmp_path: Path) -> None:
    with world(tmp_path) as (endpoint, chat, adapters, store):
        release = publish(store, "run-g1-aa")
        adapters.ensure([release])
        another = Adapters(chat, store, tmp_path / "cache2", "seed")
        chat.servers[0].load_adapter("run-g1-aa", "/anywhere")  # vLLM's 400: it has been loaded
        another.ensure([release])
        assert list(endpoint.adapters) == ["run-g1-aa"]


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize("late", [False, True])
def test_a_rank_above_the_servers_limit_is_said_with_both_numbers(
    tmp_path: Path, late: bool, status: int
) -> None:
    reason = "LoRA rank 8 is greater than max_lora_rank 4"
    with world(tmp_path, max_lora_rank=4, ranks_late=late) as (endpoint, _, adapters, store):
        endpoint.rank_status = status
        with pytest.raises(ArtifactError, match=reason):
            adapters.ensure([publish(store, "run-g1-aa", rank=8)])


def test_a_restart_that_lost_the_adapters_gets_them_again(tmp_path: Path) -> None:
    with world(tmp_path) as (endpoint, _, adapters, store):
        release = publish(store, "run-g1-aa")
        adapters.ensure([release])
        endpoint.adapters.clear()
        with pytest.raises(Exception, match="does not exist") as lost:
            adapters.chat.sample([SampleRequest("run-g1-aa", [], seed=1, max_tokens=5)])
        adapters.reload([release], lost.value)  # type: ignore[arg-type]
        assert list(endpoint.adapters) == ["run-g1-aa"]


def test_unloading_what_is_gone_is_no_error(tmp_path: Path) -> None:
    with world(tmp_path) as (_, chat, _, _):
        assert not chat.servers[0].unload_adapter("run-g1-aa")


def test_a_prompt_that_is_too_long_is_the_requests_fault(tmp_path: Path) -> None:
    with world(tmp_path, max_model_len=8) as (_, chat, _, _):
        long = SampleRequest("seed", [{"role": "user", "content": "a b c d e"}], seed=1, max_tokens=5)
        assert "maximum context length is 8" in chat.sample([long]).replies[0].refused


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, ""),
        ({"runtime_lora": False}, "Not Found"),  # VLLM_ALLOW_RUNTIME_LORA_UPDATING is not set
        ({"enable_lora": False}, "LoRA is not enabled"),
    ],
)
def test_what_is_believed_of_adapters_is_what_was_seen(
    tmp_path: Path, options: dict[str, bool], why: str
) -> None:
    with world(tmp_path, **options) as (endpoint, _, _, _):
        reason = why_no_adapters(ModelSection(url=endpoint.url))
        assert why in reason
        assert bool(reason) is bool(why)
        assert not endpoint.adapters
