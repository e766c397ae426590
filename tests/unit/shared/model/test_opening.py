"""Whose replies a stored one may stand for; and a key that no request can carry, which is never shown."""

import pytest

from shared.config.settings import ModelSection
from shared.errors import SettingsError
from shared.model.opening import open_chat
from shared.model.wire import SampleRequest
from shared.store.store import LocalStore
from tests.parts.endpoint import Endpoint

ASK = SampleRequest(model="seed", messages=[{"role": "user", "content": "hi"}], seed=7, max_tokens=9)


def text_of(section: ModelSection, store: LocalStore, url: str = "") -> str:
    chat = open_chat(section, store, url=url)
    (sample,) = chat.sample([ASK]).replies[0].samples
    chat.close()
    return sample.text


def test_endpoints_and_settings_that_may_answer_otherwise_share_no_replies(
    endpoint: Endpoint, store: LocalStore
) -> None:
    with Endpoint(lambda body: f"another, top_p {body.get('top_p')}") as other:
        first = text_of(ModelSection(url=endpoint.url), store)
        assert text_of(ModelSection(url=other.url), store) == "another, top_p None" != first
        assert text_of(ModelSection(url=other.url, top_p=0.5), store) == "another, top_p 0.5"
        assert text_of(ModelSection(url=endpoint.url), store) == first


def test_replies_made_without_a_temperature_or_a_system_message_are_others(store: LocalStore) -> None:
    with Endpoint(lambda body: f"at {body.get('temperature')}") as endpoint:
        assert text_of(ModelSection(url=endpoint.url), store) == "at 1.0"
        assert text_of(ModelSection(url=endpoint.url, omit=("temperature",)), store) == "at None"
        assert text_of(ModelSection(url=endpoint.url, omit=("seed", "logprobs")), store) == "at 1.0"
        assert len(endpoint.asked) == 2  # the last one was there


def test_an_address_that_is_written_otherwise_is_the_same_endpoint(
    endpoint: Endpoint, store: LocalStore
) -> None:
    text_of(ModelSection(url=endpoint.url), store)
    text_of(ModelSection(url=f"{endpoint.url}/chat/completions"), store)
    assert len(endpoint.asked) == 1


def test_an_endpoint_that_has_moved_keeps_its_replies(endpoint: Endpoint, store: LocalStore) -> None:
    section = ModelSection(url=endpoint.url)
    first = text_of(section, store)
    with Endpoint(lambda _: "from there") as there:
        assert text_of(section, store, there.url) == first
        assert text_of(section.model_copy(update={"top_p": 0.5}), store, there.url) == "from there"


def test_the_line_end_of_the_file_that_a_key_came_from_is_no_part_of_it(
    endpoint: Endpoint, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-abc\r\n")
    headers = {"api-key": "env:MY_KEY"}
    chat = open_chat(ModelSection(url=endpoint.url, api_key_env="MY_KEY", headers=headers), store)
    assert len(chat.sample([ASK]).replies[0].samples) == 1
    chat.close()


@pytest.mark.parametrize("key", ["\u201csk-abc\u201d", "sk-\nabc", "sk-\u00e9", "sk-\x07"])
@pytest.mark.parametrize(
    ("section", "where"),
    [
        ({"api_key_env": "MY_KEY"}, "the variable MY_KEY"),
        ({"headers": {"api-key": "env:MY_KEY"}}, "the header api-key"),
    ],
)
def test_a_key_that_no_request_can_carry_is_refused_by_its_place_alone(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, key: str, section: dict[str, object], where: str
) -> None:
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(SettingsError, match=f"{where} holds characters that no request") as caught:
        open_chat(ModelSection.model_validate({"url": "http://127.0.0.1:1/v1", **section}), store)
    assert "sk-" not in str(caught.value)
