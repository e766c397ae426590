"""Probes one endpoint: a chat request as a scaffold's would be, its list of models, its routes for adapters.
It stores nothing and decides nothing."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from pathlib import Path

from shared.config.settings import EndpointSection, ModelSection
from shared.decisions.endings import WORDS, ending
from shared.errors import (
    AdaptersUnsupportedError,
    ArtifactError,
    ChatError,
    ChatUnavailableError,
    ForbiddenError,
    RequestRefusedError,
    SettingsError,
    SlowReplyError,
    UnknownModelError,
    UnreachableError,
    UnusableReplyError,
)
from shared.messages.records import JsonObject, Sample
from shared.model.address import likely, split_urls
from shared.model.answering import patiently
from shared.model.client import Chat
from shared.model.opening import open_chat
from shared.model.options import OPTIONAL, SYSTEM, Options, learned, options_of
from shared.model.replies.reading import Usage
from shared.model.server import Server
from shared.model.wire import SampleRequest
from shared.store.store import LocalStore

QUESTION = [  # with a system message, as most scaffolds and the advisor ask
    {"role": "system", "content": "You are brief."},
    {"role": "user", "content": "Say OK."},
]
PROBE_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}
PROBE_ADAPTER = "ratchet-probe"
NOWHERE = "/nonexistent/ratchet-probe"
LOGPROBS_S = 60.0


class UnusableEndpointError(SettingsError):
    """An endpoint that can't be reached, or answers no request like this."""


@dataclass(frozen=True)
class Found:
    """The observed behaviour of an endpoint. `sample` None: it is busy, and no answer was observed."""

    url: str
    options: Options
    sample: Sample | None = None
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()


def examine(section: EndpointSection, name: str, max_tokens: int, with_schema: bool = False) -> Found:
    """One request to each of its addresses. `name`: of the section, for messages to the user;
    `with_schema`: as scaffolds ask that constrain replies. Raises SettingsError with one sentence where it
    can't be used."""
    schema = PROBE_SCHEMA if with_schema else None
    found = [
        _first_that_answers(section.model_copy(update={"url": url}), name, max_tokens, schema)
        for url in split_urls(section.url)
    ]
    notes = tuple(note for one in found for note in one.notes)
    omit = frozenset().union(*(one.options.omit for one in found))
    options = next((one.options for one in found if one.sample), found[0].options)
    whole = Options(options.max_tokens_name, omit, options.added)
    if change := learned(options_of(section), whole):
        notes += (f"{section.url} {change}",)
    if found[0].sample and (how := ending(found[0].sample)):
        notes += (f"{section.url} answers a plain request with a reply that is {WORDS[how]}",)
    return Found(" ".join(one.url for one in found), whole, found[0].sample, found[0].usage, notes)


def _first_that_answers(
    section: EndpointSection, name: str, max_tokens: int, schema: JsonObject | None
) -> Found:
    """The address as given, or as it was meant: without a route's end, below /v1. What stands before an
    endpoint may answer an address beside it in any way."""
    busy: Found | None = None
    trouble: ChatError | ChatUnavailableError | None = None
    for url in likely(section.url):
        with closing(open_chat(section.model_copy(update={"url": url}), nothing_stored())) as chat:
            try:
                found = _ask(chat, section, max_tokens, schema)
            except (ChatError, ChatUnavailableError) as error:
                beside = isinstance(error, UnknownModelError | UnusableReplyError)
                names = _names(chat.servers[0]) if beside else ()
                if names:  # the address is right, not the model's name
                    raise _wrong_name(section, name, names, error) from None
                trouble = error if trouble is None or not beside else trouble
                if isinstance(error, UnreachableError | SlowReplyError):
                    break
                continue
        if found.sample is not None:
            return _corrected(found, section, name)
        busy = busy or found
    if busy and (trouble is None or isinstance(trouble, UnknownModelError | UnusableReplyError)):
        return _corrected(busy, section, name)
    assert trouble is not None
    raise _unusable(trouble, name) from None


def _corrected(found: Found, section: EndpointSection, name: str) -> Found:
    if found.url == section.url:
        return found
    corrected = f"{name}.url: {section.url} is asked as {found.url}"
    return replace(found, notes=(corrected, *found.notes))


def _ask(chat: Chat, section: EndpointSection, max_tokens: int, schema: JsonObject | None) -> Found:
    request = SampleRequest(section.name, QUESTION, seed=0, max_tokens=max_tokens, schema=schema)
    try:
        sample, usage = patiently(lambda: chat.answering.try_once(chat.servers[0], request, 0))
    except (RequestRefusedError, ForbiddenError) as error:
        if (answered := _by_leaving_out(chat, request)) is None:
            raise error
        sample, usage = answered
    except ChatUnavailableError as error:
        if error.of_request or isinstance(error, UnreachableError):
            raise
        return Found(
            chat.url, chat.answering.options, notes=(f"{error.message}: the run begins, and waits for it",)
        )
    return Found(chat.url, chat.answering.options, sample, usage)


def _by_leaving_out(chat: Chat, request: SampleRequest) -> tuple[Sample, Usage] | None:
    """The answer to the request without some of its optional parameters, where its refusal named none of
    them: no more are left out than must be. None: something else is refused."""
    answering, given = chat.answering, chat.answering.options
    answered, left_out = None, list[str]()
    for name in (*(name for name in OPTIONAL if name in request.body(0, given)), SYSTEM):
        left_out.append(name)
        answering.options = replace(given, omit=given.omit.union(left_out))
        if answered := _answer(chat, request):
            break
    if answered is None:
        answering.options = given
        return None
    for name in left_out[:-1]:  # without the last it was refused still
        before = answering.options
        answering.options = replace(before, omit=before.omit - {name})
        if with_it := _answer(chat, request):
            answered = with_it
        else:
            answering.options = before
    return answered


def _answer(chat: Chat, request: SampleRequest) -> tuple[Sample, Usage] | None:
    try:
        return patiently(lambda: chat.answering.try_once(chat.servers[0], request, 0))
    except (ChatError, ChatUnavailableError):
        return None


def _unusable(error: ChatError | ChatUnavailableError, name: str) -> SettingsError:
    hint = error.hint if isinstance(error, ChatError) else f"start it, or correct {name}.url"
    hint = hint.replace("api_key_env", f"{name}.api_key_env").replace("timeout_s of", f"{name}.timeout_s of")
    return UnusableEndpointError(error.message, hint)


def _wrong_name(
    section: EndpointSection, name: str, names: list[str], error: ChatError | ChatUnavailableError
) -> SettingsError:
    if section.name in names:
        return _unusable(error, name)
    likest = sorted(names, key=lambda one: -SequenceMatcher(None, section.name, one).ratio())
    listed = f"set {name}.name to one of: {', '.join(likest[:8])}"
    listed += f" and {len(names) - 8} others" if len(names) > 8 else ""
    return SettingsError(f"{section.url} does not serve {section.name!r}", listed)


def _names(server: Server) -> list[str]:
    try:
        return server.models()
    except (ChatError, ChatUnavailableError):  # it has no such list
        return []


def why_no_adapters(section: ModelSection) -> str:
    """Why the endpoint can't take adapters, as observed; empty: it can, on each of its addresses."""
    with closing(open_chat(section, nothing_stored())) as chat:
        return next((why for server in chat.servers if (why := _why_none(server, section.name))), "")


def _why_none(server: Server, base: str) -> str:
    """Asked with an adapter that does not exist, so nothing is loaded; and for the log-probabilities of a
    prompt, without which no adapter could be verified."""
    _names(server)  # which shows what kind of server it is
    try:
        server.load_adapter(PROBE_ADAPTER, NOWHERE)
        server.unload_adapter(PROBE_ADAPTER)
        return f"{server.url} can't load adapters (it accepts one that does not exist)"
    except ArtifactError:
        pass
    except (AdaptersUnsupportedError, ChatUnavailableError) as error:
        if isinstance(error, AdaptersUnsupportedError) or "adapter" not in error.message.lower():
            return error.message
    try:
        server.prompt_logprobs(base, [1, 2, 3], LOGPROBS_S)
    except (ChatError, ChatUnavailableError) as error:
        return f"{server.url} can't verify adapters ({error.message})"
    return ""


def nothing_stored() -> LocalStore:
    return LocalStore(Path(os.devnull))  # a probe stores no reply
