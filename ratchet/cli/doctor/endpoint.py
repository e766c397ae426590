"""The checks of `ratchet doctor --model URL`: what an endpoint can do, as observed, in one table. It sends a
handful of short requests.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass

from ratchet.check import Check
from ratchet.runs.endpoint_probe import PROBE_SCHEMA, Found, examine, nothing_stored, why_no_adapters
from shared.config.settings import ModelSection
from shared.errors import ChatError, ChatUnavailableError, SettingsError
from shared.messages.records import Sample
from shared.model.opening import open_chat
from shared.model.prices import look_up
from shared.model.wire import SampleRequest

MAX_TOKENS = 256
QUESTION = [{"role": "user", "content": 'Say a word that you like, as JSON: {"word": "..."}'}]


def endpoint_checks(section: ModelSection) -> list[Check]:
    """All rows; the first shows whether a run could begin."""
    try:
        found = examine(section, "model", MAX_TOKENS)
    except SettingsError as error:
        return [Check("answers", False, error.message, error.hint)]
    section = section.model_copy(update={"url": found.url})
    if found.sample is None:
        return [Check("answers", True, "; ".join(found.notes))]
    return [
        Check("answers", True, f"as {section.name!r} at {found.url}"),
        Check("asked as", True, "; ".join(found.notes) or "a scaffold asks, with all its parameters"),
        *_of_reply(found, found.sample),
        *_by_asking(section, found),
        _adapters(section),
        _price(section),
    ]


def _of_reply(found: Found, sample: Sample) -> list[Check]:
    usage = found.usage
    reported = usage.prompt_tokens is not None and usage.completion_tokens is not None
    learnable = bool(sample.token_ids and sample.logprobs)
    reasoning = "kept apart from the answer" if sample.reasoning else "none seen in a short reply"
    return [
        Check("usage", True, "reported" if reported else "not reported: tokens and money are estimated"),
        Check("log-probabilities", True, "reported" if sample.logprobs else "not reported"),
        Check(
            "token ids",
            True,
            "reported: rewards can train weights" if learnable else "not reported: they can't train",
        ),
        Check("reasoning", True, reasoning),
    ]


@dataclass(frozen=True)
class _Asker:
    section: ModelSection
    found: Found

    def ask(self, seed: int, schema: bool) -> Sample | str:
        """A reply, or why there is none."""
        request = SampleRequest(
            self.section.name, QUESTION, seed, MAX_TOKENS, schema=PROBE_SCHEMA if schema else None
        )
        with closing(open_chat(self.section, nothing_stored())) as chat:
            chat.answering.options = self.found.options
            try:
                sample, _ = chat.answering.answer(request, 0, "")
            except (ChatError, ChatUnavailableError) as error:
                return error.message
            refused = "response_format" in chat.answering.options.omit
            return "refused: replies are free text" if schema and refused else sample


def _by_asking(section: ModelSection, found: Found) -> list[Check]:
    asker = _Asker(section, found)
    kept = asker.ask(1, schema=True)
    schema = kept if isinstance(kept, str) else "kept" if _is_json(kept.text) else "taken, but not kept"
    one, two = asker.ask(2, schema=False), asker.ask(2, schema=False)
    if isinstance(one, str) or isinstance(two, str):
        same = one if isinstance(one, str) else str(two)
    else:
        same = "gives the same reply" if one.text == two.text else "gives other replies: pairs are noisier"
    return [Check("answer schema", True, schema), Check("the same seed", True, same)]


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _adapters(section: ModelSection) -> Check:
    why = why_no_adapters(section)
    return Check("adapters", True, f"no: {why}" if why else "loaded and verified at runtime")


def _price(section: ModelSection) -> Check:
    price = look_up(section.url, section.name)
    known = f"${price.prompt:g} and ${price.completion:g} a million tokens" if price else "no list price"
    return Check("price", True, known)
