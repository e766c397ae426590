"""Adapters on an endpoint: loaded by name, verified by fingerprint, the last few kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent_service.adapters import Adapters
from shared.errors import (
    AdaptersUnsupportedError,
    ArtifactError,
    EndpointBlockedError,
    UnknownModelError,
)
from shared.messages.records import Release
from shared.model.client import Chat
from shared.store.store import LocalStore, put_bundle
from tests.parts.endpoint import Endpoint, base_logprobs

IDS = [5, 6, 7, 8]
BASE = base_logprobs(IDS)
SHIFTED = [value + 0.25 for value in BASE]


def publish(store: LocalStore, name: str, **change: Any) -> Release:
    fingerprint = {"token_ids": IDS, "logprobs": SHIFTED, "base_logprobs": BASE}
    card = {"name": name, "base": "basedigest", "fingerprint": fingerprint, "norm": 0.1, "served": SHIFTED}
    digest = put_bundle(store, {"ratchet.json": json.dumps(card | change).encode()})
    return Release(base="basedigest", harness="h", adapter=digest)


def test_the_base_needs_no_loading(adapters: Adapters, endpoint: Endpoint) -> None:
    plain = Release(base="basedigest", harness="h")
    theirs = Release(base="endpoint:gpt-oss", harness="h")
    served = adapters.ensure([plain, theirs])
    assert (served[plain.digest].name, served[theirs.digest].name) == ("seed", "gpt-oss")
    assert endpoint.seen == []


def test_an_adapter_is_loaded_and_verified_once(
    adapters: Adapters, store: LocalStore, endpoint: Endpoint
) -> None:
    release = publish(store, "run-g1-aa")
    for _ in range(2):
        assert adapters.ensure([release])[release.digest].name == "run-g1-aa"
    assert [path for path, _ in endpoint.seen] == ["/v1/load_lora_adapter", *["/v1/completions"] * 2]


def test_replies_of_base_and_adapter_are_told_apart(adapters: Adapters, store: LocalStore) -> None:
    release = publish(store, "run-g1-aa")
    plain = release.model_copy(update={"adapter": None})
    served = adapters.ensure([release, plain])
    assert served[release.digest].weights != served[plain.digest].weights


def test_an_adapter_that_answers_otherwise_is_refused(adapters: Adapters, store: LocalStore) -> None:
    release = publish(store, "run-g1-aa", served=[value + 0.01 for value in SHIFTED])
    with pytest.raises(ArtifactError, match="does not answer as it did"):
        adapters.ensure([release])
    with pytest.raises(ArtifactError):  # nor does a second look let it through
        adapters.ensure([release])


def test_an_endpoint_that_serves_the_base_in_its_place_is_found_out(
    adapters: Adapters, store: LocalStore, endpoint: Endpoint
) -> None:
    endpoint.ignores_adapters = True
    slight = [value + 5e-4 for value in BASE]  # within the tolerance of the base itself
    mark = {"token_ids": IDS, "logprobs": slight, "base_logprobs": BASE}
    with pytest.raises(ArtifactError, match="ignores the adapter"):
        adapters.ensure([publish(store, "run-g1-aa", fingerprint=mark)])
    zero = {"token_ids": IDS, "logprobs": BASE, "base_logprobs": BASE}
    adapters.ensure([publish(store, "run-g1-bb", fingerprint=zero, norm=0.0)])


@pytest.mark.parametrize("change", [{"broken": True}, {"base": "another"}, {"fingerprint": {}}])
def test_an_unsound_adapter_is_an_error_that_is_not_tried_again(
    adapters: Adapters, store: LocalStore, change: dict[str, Any]
) -> None:
    with pytest.raises(ArtifactError) as caught:
        adapters.ensure([publish(store, "run-g1-aa", **change)])
    assert not caught.value.transient


def test_an_endpoint_without_lora_routes_says_so(
    adapters: Adapters, store: LocalStore, endpoint: Endpoint
) -> None:
    endpoint.lora_routes = False
    with pytest.raises(AdaptersUnsupportedError, match="harness"):
        adapters.ensure([publish(store, "run-g1-aa")])


def test_the_last_few_stay_loaded(adapters: Adapters, store: LocalStore, endpoint: Endpoint) -> None:
    releases = [publish(store, f"run-g{i}-aa") for i in range(6)]
    for release in releases:
        adapters.ensure([release, releases[0]])  # the first stays in use
    assert list(endpoint.adapters) == ["run-g0-aa", "run-g3-aa", "run-g4-aa", "run-g5-aa"]


def test_what_a_worker_before_left_behind_goes_first(
    adapters: Adapters, store: LocalStore, endpoint: Endpoint
) -> None:
    endpoint.adapters = {f"run-g{i}-old": SHIFTED for i in range(5)} | {"other-g1-aa": SHIFTED}
    adapters.ensure([publish(store, "run-g9-aa")])
    assert list(endpoint.adapters) == ["run-g2-old", "run-g3-old", "run-g4-old", "other-g1-aa", "run-g9-aa"]


def test_adapters_that_a_restart_lost_are_loaded_again(
    adapters: Adapters, store: LocalStore, endpoint: Endpoint
) -> None:
    release = publish(store, "run-g1-aa")
    adapters.ensure([release])
    endpoint.adapters.clear()
    for _ in range(3):  # once for each attempt that met the loss
        adapters.reload([release], UnknownModelError("404"))
    assert "run-g1-aa" in endpoint.adapters
    assert [path for path, _ in endpoint.seen].count("/v1/load_lora_adapter") == 2


def test_a_base_model_that_is_gone_blocks_the_run(adapters: Adapters) -> None:
    plain = Release(base="basedigest", harness="h")
    with pytest.raises(EndpointBlockedError, match="404"):
        adapters.reload([plain], UnknownModelError("404"))


def test_each_of_several_servers_is_loaded_and_checked(store: LocalStore, tmp_path: Path) -> None:
    release = publish(store, "run-g1-aa")
    with Endpoint() as one, Endpoint() as two:
        chat = Chat(f"{one.url} {two.url}", store, api_key="k", timeout_s=20, concurrency=4)
        Adapters(chat, store, tmp_path / "cache", "seed").ensure([release])
        assert list(one.adapters) == list(two.adapters) == ["run-g1-aa"]
        two.ignores_adapters = True
        with pytest.raises(ArtifactError, match=f"refused on {two.url}.*ignores"):
            Adapters(chat, store, tmp_path / "cache", "seed").ensure([release])
        chat.close()


def test_behind_one_address_every_server_in_turn_gets_the_adapter(
    adapters: Adapters, store: LocalStore, endpoint: Endpoint
) -> None:
    endpoint.replicas = 3
    adapters.ensure([publish(store, "run-g1-aa")])
    assert [list(known) for known in endpoint.known] == [["run-g1-aa"]] * 3


def test_servers_that_are_never_all_reached_are_named_as_the_cause(
    adapters: Adapters, store: LocalStore, endpoint: Endpoint
) -> None:
    endpoint.replicas, endpoint.loads_on_first_alone = 2, True
    with pytest.raises(ArtifactError, match=r"stands for several servers.*address of each in model.url"):
        adapters.ensure([publish(store, "run-g1-aa")])
