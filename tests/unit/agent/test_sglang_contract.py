"""The agent's adapters on an endpoint that behaves as SGLang documents."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_service.adapters import Adapters
from ratchet.runs.endpoint_probe import why_no_adapters
from shared.config.settings import ModelSection
from shared.errors import ArtifactError, UnknownModelError
from shared.messages.records import Release
from shared.model.client import Chat
from shared.model.wire import SampleRequest
from shared.store.store import LocalStore, put_bundle
from tests.parts.endpoint import Fault, base_logprobs
from tests.parts.sglang import Sglang

IDS = [5, 6, 7, 8]
BASE = base_logprobs(IDS)
SHIFTED = [value + 0.25 for value in BASE]
HI = [{"role": "user", "content": "hi"}]


@contextmanager
def world(tmp_path: Path) -> Iterator[tuple[Sglang, Chat, Adapters, LocalStore]]:
    store = LocalStore(tmp_path / "store")
    with Sglang() as endpoint:
        chat = Chat(endpoint.url, store, api_key="k", timeout_s=20, concurrency=4)
        yield endpoint, chat, Adapters(chat, store, tmp_path / "cache", "seed"), store
        chat.close()


def publish(store: LocalStore, name: str) -> Release:
    mark = {"token_ids": IDS, "logprobs": SHIFTED, "base_logprobs": BASE}
    card = {"name": name, "base": "basedigest", "fingerprint": mark, "norm": 0.1, "served": SHIFTED}
    digest = put_bundle(store, {"ratchet.json": json.dumps(card).encode()})
    return Release(base="basedigest", harness="h", adapter=digest)


def replied(chat: Chat, model: str) -> str:
    request = SampleRequest(model, HI, seed=len(model), max_tokens=5)
    return chat.sample([request]).replies[0].samples[0].text


def test_an_adapter_is_loaded_verified_and_asked_by_its_name_behind_the_bases(tmp_path: Path) -> None:
    with world(tmp_path) as (_, chat, adapters, store):
        release = publish(store, "run-g1-aa")
        served = adapters.ensure([release])[release.digest]
        assert replied(chat, served.name) == "by run-g1-aa"
        assert replied(chat, "seed") == "by seed"


def test_a_name_of_the_base_that_the_server_does_not_list_is_sent_as_it_is(tmp_path: Path) -> None:
    with world(tmp_path) as (endpoint, chat, adapters, store):
        adapters.ensure([publish(store, "run-g1-aa")])
        replied(chat, "default")
        assert endpoint.asked[-1]["model"] == "default"


def test_an_adapter_that_answers_as_the_base_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world(tmp_path) as (endpoint, _, adapters, store):
        release = publish(store, "run-g1-aa")
        monkeypatch.setattr(
            endpoint, "generate", lambda body: Sglang.generate(endpoint, body | {"lora_path": None})
        )
        with pytest.raises(ArtifactError, match="run-g1-aa is refused"):
            adapters.ensure([release])


def test_a_restart_that_lost_the_adapters_gets_them_again(tmp_path: Path) -> None:
    with world(tmp_path) as (endpoint, chat, adapters, store):
        release = publish(store, "run-g1-aa")
        adapters.ensure([release])
        endpoint.adapters.clear()
        assert chat.servers[0].models() == ["seed"]
        with pytest.raises(UnknownModelError, match="not loaded") as lost:
            replied(chat, "run-g1-aa")
        adapters.reload([release], lost.value)
        assert replied(chat, "run-g1-aa") == "by run-g1-aa"


def test_adapters_of_before_are_unloaded_and_what_is_gone_is_no_error(tmp_path: Path) -> None:
    with world(tmp_path) as (endpoint, chat, adapters, store):
        for number in range(5):
            adapters.ensure([publish(store, f"run-g{number}-aa")])
        assert len(endpoint.adapters) == 4
        assert not chat.servers[0].unload_adapter("run-g0-aa")


@pytest.mark.parametrize(("enabled", "why"), [(True, ""), (False, "LoRA is not enabled")])
def test_what_is_believed_of_adapters_is_what_was_seen(tmp_path: Path, enabled: bool, why: str) -> None:
    with Sglang(enabled) as endpoint:
        reason = why_no_adapters(ModelSection(url=endpoint.url))
        assert why in reason
        assert bool(reason) is bool(why)
        assert not endpoint.adapters


def test_a_refusal_in_an_answer_of_success_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with world(tmp_path) as (endpoint, _, adapters, store):
        told = json.dumps({"success": False, "error_message": "no room"}).encode()
        monkeypatch.setattr(endpoint, "lora", lambda path, body: Fault(200, told))
        with pytest.raises(ArtifactError, match="run-g1-aa: no room"):
            adapters.ensure([publish(store, "run-g1-aa")])
