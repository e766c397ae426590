"""A user's endpoint is probed before a run begins: what it can do, and which options it needs."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratchet.runs import folder as runs
from ratchet.runs.endpoint import move, require_answers, settle, settled, with_list_prices, without_base
from ratchet.runs.endpoint_probe import Found
from ratchet.runs.evaluate import parts_beside
from ratchet.runs.request import RunRequest
from shared.config.settings import ModelSection, RunConfig, load_config
from shared.errors import AdaptersUnsupportedError, SettingsError
from shared.model.options import Options
from shared.tasks.task import find_task
from tests.parts.endpoint import Endpoint, Fault


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as running:
        yield running


def config(url: str, levers: str = "both", **model: Any) -> RunConfig:
    return load_config([{"run": {"levers": levers}, "model": {"url": url, "base": "/a/folder"} | model}])


def test_with_a_base_and_lora_routes_both_levers_stay(endpoint: Endpoint) -> None:
    settled, notes = settle(config(endpoint.url))
    assert (settled.run.levers, notes) == ("both", [])
    assert endpoint.adapters == {}


def test_without_lora_routes_the_run_is_harness_only_and_says_so(endpoint: Endpoint) -> None:
    endpoint.lora_routes = False
    settled, [note] = settle(config(endpoint.url))
    assert settled.run.levers == "harness"
    assert note.startswith(f"{endpoint.url} can't load adapters")
    assert note.endswith("harness-only run")


@pytest.mark.parametrize(
    "answer",
    [
        Fault(404, b'{"error": {"message": "Invalid URL (POST /v1/load_lora_adapter)"}}'),
        Fault(405, b'{"detail": "Method Not Allowed"}'),
        Fault(501, b"not implemented"),
        Fault(200, b'{"error": "Unexpected endpoint or method"}'),
        Fault(401, b'{"error": {"message": "this route is for admins"}}'),
        Fault(403, b'{"error": {"message": "forbidden by the gateway"}}'),
        Fault(400, b'{"error": {"message": "LoRA is not enabled. Use --enable-lora to enable LoRA."}}'),
        Fault(502, b"bad gateway"),
    ],
    ids=lambda fault: str(fault.status),
)
def test_however_an_endpoint_says_that_it_takes_no_adapters(endpoint: Endpoint, answer: Fault) -> None:
    endpoint.lora_routes, endpoint.no_lora = False, answer
    settled, [note] = settle(config(endpoint.url))
    assert settled.run.levers == "harness"
    assert "harness-only run" in note


def test_an_endpoint_whose_adapters_could_not_be_verified_gets_none(endpoint: Endpoint) -> None:
    endpoint.tells_prompt_logprobs = False
    settled, [note] = settle(config(endpoint.url))
    assert settled.run.levers == "harness"
    assert "can't verify adapters" in note


def test_a_model_that_ratchet_has_no_files_of_leaves_the_harness_lever(endpoint: Endpoint) -> None:
    settled, [note] = settle(config(endpoint.url, base="seed"))
    assert settled.run.levers == "harness"
    assert "serves its own model" in note


def test_the_weights_lever_alone_is_refused_where_it_can_not_be_pulled(endpoint: Endpoint) -> None:
    endpoint.lora_routes = False
    with pytest.raises(AdaptersUnsupportedError, match="--levers harness"):
        settle(config(endpoint.url, levers="weights"))


def test_a_model_that_is_not_served_is_named_with_those_that_are(endpoint: Endpoint) -> None:
    with pytest.raises(SettingsError, match=r"does not serve 'big' \(set model.name to one of: seed\)"):
        settle(config(endpoint.url, name="big"))


def test_a_name_that_is_not_listed_but_answered_is_taken(endpoint: Endpoint) -> None:
    endpoint.lists = ["models/seed", "seed:latest"]
    assert settle(config(endpoint.url, levers="harness"))[0].model.name == "seed"


def test_an_endpoint_that_is_not_there_is_said_before_anything_begins() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SettingsError, match=rf"127.0.0.1:{port}.* can't be reached.*correct model.url"):
        settle(config(f"http://127.0.0.1:{port}/v1"))


def test_a_run_on_the_local_model_server_asks_nothing() -> None:
    assert settle(load_config([])) == (load_config([]), [])


@pytest.mark.parametrize("end", ["", "/", "/v1/", "/v1/chat/completions", "/v1/models"])
def test_an_address_is_corrected_and_that_is_said(endpoint: Endpoint, end: str) -> None:
    written = endpoint.url.removesuffix("/v1") + end
    settled, notes = settle(config(written, levers="harness"))
    assert settled.model.url == endpoint.url
    assert notes == [f"model.url: {written} is asked as {endpoint.url}"]


@pytest.mark.parametrize("status", [200, 400, 401, 403, 405, 429, 502, 503])
def test_whatever_answers_beside_an_endpoint_does_not_hide_it(endpoint: Endpoint, status: int) -> None:
    endpoint.elsewhere = Fault(status, b"<!doctype html><title>Welcome</title>")
    settled, _ = settle(config(endpoint.url.removesuffix("/v1"), levers="harness"))
    assert settled.model.url == endpoint.url


def test_of_two_addresses_that_refuse_the_one_that_is_an_endpoint_is_reported(endpoint: Endpoint) -> None:
    endpoint.faults, endpoint.well = [error(401, "a wrong key")] * 9, False
    with pytest.raises(SettingsError, match="a wrong key"):
        settle(config(endpoint.url.removesuffix("/v1"), levers="harness"))


@pytest.mark.parametrize(
    ("status", "message", "problem"),
    [
        (
            401,
            "No auth credentials found",
            r"No auth.*variable that model.api_key_env names; nothing was begun",
        ),
        (402, "Insufficient credits", "Insufficient credits.*check the account"),
        (403, "not your region", "not your region"),
        (429, "You exceeded your current quota", "exceeded your current quota.*account"),
    ],
)
def test_an_endpoint_that_refuses_every_request_is_reported_in_one_sentence(
    endpoint: Endpoint, status: int, message: str, problem: str
) -> None:
    endpoint.faults, endpoint.well = [error(status, message)] * 9, False
    with pytest.raises(SettingsError, match=problem):
        settle(config(endpoint.url))


def error(status: int, message: str, **more: str) -> Fault:
    return Fault(status, json.dumps({"error": {"message": message, **more}}).encode())


def test_a_login_page_is_no_endpoint(endpoint: Endpoint) -> None:
    page = Fault(200, b"<!doctype html><title>Sign in</title>")
    endpoint.faults, endpoint.well, endpoint.lists = [page] * 9, False, []
    with pytest.raises(SettingsError, match=r"an HTML page .'Sign in'"):
        settle(config(endpoint.url))


def test_a_busy_endpoint_is_waited_for_by_the_run(endpoint: Endpoint) -> None:
    busy = error(429, "rate limit")
    busy.headers["Retry-After"] = "45"
    endpoint.faults, endpoint.well = [busy], False
    _, notes = settle(config(endpoint.url, levers="harness"))
    assert "the run begins, and waits for it" in notes[0]


@pytest.mark.parametrize(
    ("refuses", "omit", "name"),
    [
        (
            {"max_tokens": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."},
            (),
            "max_completion_tokens",
        ),
        ({"logprobs": "logprobs is not available for this model"}, ("logprobs",), "max_tokens"),
        (
            {"temperature": "Unsupported value: 'temperature' does not support 1.0 with this model."},
            ("temperature",),
            "max_tokens",
        ),
        (
            {"seed": "unknown field `seed`", "n": "Unsupported parameter: 'n'"},
            ("n", "seed"),
            "max_tokens",
        ),
    ],
)
def test_what_an_endpoint_refuses_is_learned_before_the_run(
    endpoint: Endpoint, refuses: dict[str, str], omit: tuple[str, ...], name: str
) -> None:
    endpoint.refuses, endpoint.well = refuses, False
    settled, notes = settle(config(endpoint.url, levers="harness"))
    assert (settled.model.omit, settled.model.max_tokens_name) == (omit, name)
    assert len(notes) == 1


def test_that_an_endpoint_gives_only_streams_is_learned_before_the_run(endpoint: Endpoint) -> None:
    endpoint.faults, endpoint.well = [error(400, "This model only support stream mode")], False
    settled, [note] = settle(config(endpoint.url, levers="harness", extra_body={"user": "me"}))
    assert settled.model.extra_body == {"user": "me", "stream": True}
    assert "only as streams" in note


def test_list_prices_are_frozen_into_the_run_unless_its_user_knows_better() -> None:
    url, notes = "https://api.openai.com/v1", list[str]()
    section = ModelSection(url=url, name="gpt-4o")
    priced = settled(section, "model", Found(url, Options()), notes)
    assert priced.usd_prompt
    assert priced.usd_completion
    assert priced.usd_completion > priced.usd_prompt
    assert "list price" in notes[0]
    own = section.model_copy(update={"usd_prompt": 0.1, "usd_completion": 0.2})
    kept = settled(own, "model", Found(url, Options()), notes)
    assert (kept.usd_prompt, kept.usd_completion) == (0.1, 0.2)


def test_a_cap_on_money_needs_a_price(endpoint: Endpoint) -> None:
    capped = load_config([config(endpoint.url, levers="harness").model_dump(), {"budget": {"usd": 1.0}}])
    with pytest.raises(SettingsError, match=r"no price is known of seed.*set model.usd_prompt"):
        settle(capped)
    priced = capped.model.model_copy(update={"usd_prompt": 0.0, "usd_completion": 0.0})
    settle(capped.model_copy(update={"model": priced}))


def test_a_plan_takes_list_prices_for_both_endpoints_where_the_user_gave_none() -> None:
    place = {"url": "https://api.openai.com/v1", "name": "gpt-4o-mini"}
    priced = with_list_prices(load_config([{"model": place, "advisor": place | {"usd_completion": 7.0}}]))
    assert (priced.model.usd_prompt or 0) > 0
    assert (priced.advisor.usd_prompt, priced.advisor.usd_completion) == (None, 7.0)
    both = with_list_prices(load_config([{"model": place, "advisor": place}]))
    assert both.advisor.usd_completion == both.model.usd_completion


def test_a_paused_run_goes_on_only_when_its_endpoint_answers(endpoint: Endpoint) -> None:
    require_answers(config(endpoint.url))
    endpoint.faults, endpoint.well = [error(402, "still no credit")], False
    with pytest.raises(SettingsError, match="still no credit"):
        require_answers(config(endpoint.url))


def test_a_scaffold_that_constrains_replies_is_asked_for_as_it_will_ask(endpoint: Endpoint) -> None:
    endpoint.refuses, endpoint.well = {"response_format": "response_format is not supported"}, False
    constrains = find_task("lawbench")
    settled, [note] = settle(config(endpoint.url, levers="harness"), constrains)
    assert settled.model.omit == ("response_format",)
    assert "refuses response_format" in note


def test_an_advisor_that_knows_no_schema_is_asked_without(endpoint: Endpoint) -> None:
    endpoint.refuses = {"response_format": "response_format of this type is not available; use json_object"}
    endpoint.well = False
    settled, _ = settle(load_config([{"advisor": {"url": endpoint.url, "name": "seed"}}]))
    assert settled.advisor.omit == ("response_format",)


def test_a_run_of_the_harness_alone_needs_no_files_of_an_endpoints_model() -> None:
    asked = config("http://127.0.0.1:1/v1")
    assert without_base(asked) == asked
    assert without_base(config("http://127.0.0.1:1/v1", levers="harness")).model.base == "seed"
    own = load_config([{"run": {"levers": "harness"}, "model": {"base": "/a/folder"}}])
    assert without_base(own) == own


def test_a_run_whose_endpoint_has_moved_asks_it_there(endpoint: Endpoint, tmp_path: Path) -> None:
    folder = runs.create(RunRequest(config("http://127.0.0.1:9/v1"), "words", tmp_path))
    move(folder, endpoint.url.removesuffix("/v1"))
    assert runs.find(folder.run_id, tmp_path).config().model.url == endpoint.url
    require_answers(folder.config())
    assert parts_beside(folder).moved_model_url == ""  # an evaluation may ask yet another endpoint


def test_a_run_moves_to_no_address_that_does_not_serve_its_model(endpoint: Endpoint, tmp_path: Path) -> None:
    folder = runs.create(RunRequest(config(endpoint.url, name="big"), "words", tmp_path))
    with pytest.raises(SettingsError, match="does not serve 'big'"):
        move(folder, endpoint.url)
    with pytest.raises(SettingsError, match=r"model\.url"):
        move(folder, "ftp://127.0.0.1/v1")
    own = runs.create(RunRequest(load_config([]), "words", tmp_path))
    with pytest.raises(SettingsError, match="asks no endpoint of yours"):
        move(own, endpoint.url)
    assert not any((made.path / "parts.json").exists() for made in (folder, own))
