"""First harnesses as a language model drafts them from a description and train rows. A draft is data: texts,
knobs within their bounds, code that the box will run; what is out of bounds is left out with its reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jinja2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ratchet.tasks.drafting.shapes import NAMES, Shape
from shared.config.settings import AdvisorSection
from shared.errors import ChatError, ChatUnavailableError, RatchetError
from shared.harness.bundle import SCAFFOLD, PatchRefused, load_harness, with_knobs
from shared.messages.records import Cost
from shared.model.client import Answer as Answered
from shared.model.client import Chat, gathered
from shared.model.replies.objects import objects_in
from shared.model.wire import SampleRequest

PROMPT = Path(__file__).with_name("draft.md")
SYSTEM, USER = "prompts/system.md", "prompts/user.md"
SHOWN = 8  # train rows
Files = dict[str, bytes]


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    system: Annotated[str, Field(min_length=1, max_length=8000)]
    user: Annotated[str, Field(min_length=1, max_length=8000, pattern=r"\{input\}")]
    knobs: Annotated[dict[str, Any], Field(max_length=16)] = Field(default_factory=dict)
    scaffold: Annotated[str, Field(max_length=20_000)] | None = None


@dataclass(frozen=True)
class Draft:
    """`files` empty: nothing of it can be used, for the reason `fault`."""

    name: str
    files: Files
    fault: str = ""


def ask(
    chat: Chat,
    section: AdvisorSection,
    description: str,
    shape: Shape,
    pairs: Sequence[tuple[str, str]],
    template: Mapping[str, bytes],
) -> tuple[list[Draft], Cost]:
    """As many drafts as advisor.drafts. Where the endpoint fails, that draft has its fault."""
    request = SampleRequest(
        model=section.name,
        messages=[{"role": "user", "content": render(description, shape, pairs, template)}],
        seed=0,
        max_tokens=section.max_tokens,
        n=section.drafts,
        temperature=section.temperature,
        schema=Answer.model_json_schema(),
    )
    with chat.asking() as asking:
        drafts = [_draft(f"draft {n}", one, template) for n, one in enumerate(asking.ask(request), 1)]
    return drafts, asking.cost


def _draft(name: str, asked: Future[Answered], template: Mapping[str, bytes]) -> Draft:
    try:
        reply = gathered([asked])
    except (ChatError, ChatUnavailableError) as error:  # the others may be answered, and are paid
        return Draft(name, {}, error.message)
    if reply.refused:
        return Draft(name, {}, f"the endpoint refuses: {reply.refused}")
    return read(name, reply.samples[0].text, template)


def render(
    description: str, shape: Shape, pairs: Sequence[tuple[str, str]], template: Mapping[str, bytes]
) -> str:
    """Rows stand in it as JSON, whose texts can't close their quotes."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    harness = load_harness(template)
    rows = [json.dumps({"input": a[:1500], "answer": b[:500]}, ensure_ascii=False) for a, b in pairs[:SHOWN]]
    return environment.from_string(PROMPT.read_text(encoding="utf-8")).render(
        description=json.dumps(description, ensure_ascii=False),
        kind=NAMES[shape.kind],
        asks_for=json.dumps(shape.asks_for, ensure_ascii=False),
        rows=rows,
        knobs=harness.knobs,
        scaffold=harness.scaffold,
        system=harness.prompts["system"],
        user=harness.prompts["user"],
    )


def read(name: str, text: str, template: Mapping[str, bytes]) -> Draft:
    """The last object of a reply that is an answer, put into the template's files."""
    fault = "there is no JSON object in the reply"
    for found in reversed(list(objects_in(text))):
        try:
            return _made(name, Answer.model_validate(found), template)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            fault = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        except (RatchetError, ValueError, RecursionError) as error:
            fault = error.message if isinstance(error, RatchetError) else str(error)
    return Draft(name, {}, fault[:300])


def _made(name: str, answer: Answer, template: Mapping[str, bytes]) -> Draft:
    """Raises RatchetError or ValueError where the whole is no harness. A knob out of bounds stays."""
    files = {**template, SYSTEM: _encoded(answer.system), USER: _encoded(answer.user)}
    if answer.scaffold:
        files[SCAFFOLD] = _encoded(answer.scaffold)
    refused = []
    for knob, value in answer.knobs.items():
        try:
            files = with_knobs(files, {knob: value})
        except PatchRefused as error:
            refused.append(error.message)
    load_harness(files)
    return Draft(name, files, "; ".join(refused)[:300])


def _encoded(text: str) -> bytes:
    return text.strip().encode() + b"\n"
