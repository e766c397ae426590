"""Every wrong setting is named by its dotted key; right ones layer."""

import pytest

from shared.config.settings import RunConfig, load_config, parse_override
from shared.errors import SettingsError


def test_later_layers_win_key_by_key() -> None:
    config = load_config([{"gate": {"alpha": 0.1, "max_pairs": 20}}, {"gate": {"alpha": 0.01}}])
    assert (config.gate.alpha, config.gate.max_pairs) == (0.01, 20)


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        ({"gate": {"alpah": 0.1}}, "gate.alpah"),
        ({"gate": {"alpha": 2.0}}, "gate.alpha"),
        ({"sorcery": {}}, "sorcery"),
        ({"run": {"levers": "all"}}, "run.levers"),
    ],
)
def test_a_wrong_key_or_value_is_named(layer: dict, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load_config([layer])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("gate.alpha=0.01", {"gate": {"alpha": 0.01}}),
        ("model.name=qwen", {"model": {"name": "qwen"}}),
        ('model.name="a=b"', {"model": {"name": "a=b"}}),
    ],
)
def test_an_override_is_a_dotted_key_and_a_value(text: str, value: dict) -> None:
    assert parse_override(text) == value


def test_what_is_no_override_says_how_to_write_one() -> None:
    with pytest.raises(SettingsError, match=r"section\.key=value"):
        parse_override("alpha")


def test_a_stored_config_with_a_retired_key_still_reads() -> None:
    stored = RunConfig().model_dump()
    stored["training"]["micro_batch"] = 16
    assert RunConfig.model_validate(stored) == RunConfig()


def test_a_retired_key_that_a_user_writes_is_a_mistake() -> None:
    with pytest.raises(SettingsError, match=r"training\.micro_batch"):
        load_config([{"training": {"micro_batch": 16}}])


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:8000/v1", "localhost:8000", "ftp://host/v1", "http://host:port/v1", "http://[::1:8/v1"),
        *("http:///v1", "http://no..name/v1", f"http://{'a' * 70}/v1", "http://host:8000/v1 http://"),
        *(" ", ",", "http://\u200bhost/v1", "http://host/v1\u200b"),
    ],
)
def test_what_is_no_address_of_an_endpoint_is_said_at_once(url: str) -> None:
    with pytest.raises(SettingsError, match=r"model.url: .*(http://HOST:PORT/v1|Invalid IPv6 URL)"):
        load_config([{"model": {"url": url}}])


@pytest.mark.parametrize("section", ["model", "advisor"])
def test_no_reply_is_waited_for_longer_than_a_clock_can_tell(section: str) -> None:
    with pytest.raises(SettingsError, match=rf"{section}.timeout_s: .*86400"):
        load_config([{section: {"timeout_s": "inf"}}])


@pytest.mark.parametrize(
    "url",
    [
        *("HTTP://Host/v1", "http://[::1]:8000/v1", "http://my_host:8000", "https://host/v1?version=1&x="),
        "http://one:1/v1, http://two:2/v1 ",
    ],
)
def test_an_address_may_be_written_in_many_ways(url: str) -> None:
    assert load_config([{"model": {"url": url}}]).model.url == url


def test_a_header_that_has_no_name_is_a_mistake() -> None:
    with pytest.raises(SettingsError, match="'api key' is no name of a header"):
        load_config([{"model": {"headers": {"api key": "env:KEY"}}}])


@pytest.mark.parametrize("name", ["model", "seed", "n", "max_completion_tokens"])
@pytest.mark.parametrize("section", ["model", "advisor"])
def test_an_extra_body_may_not_replace_what_tells_arms_apart(section: str, name: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"{section}\.extra_body: .*{name} stands in every request already"
    ):
        load_config([{section: {"extra_body": {name: 1, "user": "me"}}}])
    stored = RunConfig().model_dump() | {section: {"extra_body": {name: 1}}}
    assert getattr(RunConfig.model_validate(stored), section).extra_body == {name: 1}


@pytest.mark.parametrize("section", ["model", "advisor"])
def test_what_no_request_holds_can_not_be_left_out(section: str) -> None:
    with pytest.raises(SettingsError, match=rf"{section}\.omit: .*no request holds sead; .*seed"):
        load_config([{section: {"omit": ["sead", "seed"]}}])
    assert load_config([{section: {"omit": ["seed", "system"]}}])
    stored = RunConfig().model_dump() | {section: {"omit": ["sead"]}}
    assert getattr(RunConfig.model_validate(stored), section).omit == ("sead",)
