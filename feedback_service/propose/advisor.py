"""The advisor: asks a language model for a harness patch and a learning algorithm, with the diagnosis of the
train attempts before it. It never sees gate or test instances.

Its answer is data: bounded edits, which pass the same checks as the analyst's, and the gate. Where no answer
is usable, the analyst proposes, and the reason states it. Replies are stored: a replay pays nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import jinja2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from feedback_service.propose.diagnosis import Diagnosis
from feedback_service.propose.memory import Memory
from feedback_service.propose.moves import edit_key
from feedback_service.propose.reply_objects import objects_in
from shared.config.settings import AdvisorSection
from shared.errors import ChatError, ChatUnavailableError
from shared.harness.bundle import SCAFFOLD, PatchRefused, apply_patch, load_harness
from shared.messages.proposals import Edit, Patch
from shared.messages.records import Cost
from shared.model.client import Chat
from shared.model.wire import SampleRequest
from shared.tasks.task import TaskManifest

PROMPT = Path(__file__).parent / "prompts" / "advise.md"
MOST_EDITS = 6
EDIT_KINDS: tuple[str, ...] = get_args(Edit.model_fields["kind"].annotation)
TRIES = 2  # an answer that can't be applied is sent back once, with the reason
SHOWN = 3  # best and worst replies


class Answer(BaseModel):
    """The model's answer. Unknown keys are refused, so it can't name anything else."""

    model_config = ConfigDict(extra="forbid")

    report: str
    edits: Annotated[list[Edit], Field(min_length=1, max_length=MOST_EDITS)]
    reason: str
    algorithm: Literal["best_of_n", "dpo", "entropic", "grpo", "ppo", "reinforce"] | None = None
    algorithm_reason: str = ""


@dataclass(frozen=True)
class Advice:
    """`patch` None: no usable answer, for the reason `why`."""

    patch: Patch | None = None
    algorithm: str | None = None
    why: str = ""
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class Question:
    """Everything that the advisor's prompt is made of."""

    task: TaskManifest
    base: str  # digest of the harness
    files: Mapping[str, bytes]  # of the harness
    diagnosis: Diagnosis
    memory: Memory
    seed: int


def advise(chat: Chat, section: AdvisorSection, question: Question) -> Advice:
    """A patch that applies to the base and was not tried before, or why there is none. Raises no error of the
    endpoint: a run does not depend on its advisor."""
    messages = [{"role": "user", "content": render(question)}]
    cost, why = Cost(), ""
    for attempt in range(TRIES):
        request = SampleRequest(
            model=section.name,
            messages=messages,
            seed=question.seed + attempt,
            max_tokens=section.max_tokens,
            temperature=section.temperature,
            schema=Answer.model_json_schema(),
        )
        try:
            sampled = chat.sample([request])
        except (ChatError, ChatUnavailableError) as error:
            return Advice(why=f"the advisor can't be asked: {error.message}", cost=cost)
        cost += sampled.cost
        if sampled.replies[0].refused:
            return Advice(why=f"the advisor refuses: {sampled.replies[0].refused}", cost=cost)
        text = sampled.replies[0].samples[0].text
        found = read(text, question)
        if not isinstance(found, str):
            patch, answer = found
            return Advice(patch, answer.algorithm, answer.algorithm_reason, cost)
        why = found
        again = f"That can't be used: {why}. Answer again in the same form."
        messages = [*messages, {"role": "assistant", "content": text}, {"role": "user", "content": again}]
    return Advice(why=f"the advisor's answer can't be used: {why}", cost=cost)


def read(text: str, question: Question) -> tuple[Patch, Answer] | str:
    """The patch in a reply, or what is wrong with it in words that the model can act on."""
    answer = _answer_in(text)
    if isinstance(answer, str):
        return answer
    patch = Patch(base=question.base, edits=tuple(answer.edits), reason=f"advisor: {answer.reason}")
    try:
        apply_patch(question.files, patch)
    except PatchRefused as refused:
        return refused.message
    if frozenset(map(edit_key, patch.edits)) in question.memory.closed(question.base):
        return "these very edits were tried before"
    return patch, answer


def _answer_in(text: str) -> Answer | str:
    """The last object of a reply that is an answer (what comes before it may be thinking aloud), or what is
    wrong with the last one."""
    fault = "the answer: there is no JSON object in it"
    for found in reversed(list(objects_in(text))):
        try:
            return Answer.model_validate(_with_whole_kinds(found))
        except ValidationError as error:
            first = error.errors()[0]
            if fault.startswith("the answer: there"):
                fault = f"{'.'.join(map(str, first['loc'])) or 'the answer'}: {first['msg']}"
    return fault


def _with_whole_kinds(found: dict[str, Any]) -> dict[str, Any]:
    """The answer with `knob` read as `set_knob`, and so on: without constrained decoding, models shorten what
    can mean one kind alone."""
    edits = found.get("edits")
    if not isinstance(edits, list):
        return found
    return found | {"edits": [_with_whole_kind(edit) if isinstance(edit, dict) else edit for edit in edits]}


def _with_whole_kind(edit: dict[str, Any]) -> dict[str, Any]:
    meant = [kind for kind in EDIT_KINDS if str(edit.get("kind")) in kind.split("_")]
    return edit | {"kind": meant[0]} if len(meant) == 1 else edit


def render(question: Question) -> str:
    """The prompt. Long texts are cut, with a note of how much is missing."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"cut": _cut, "tojson": _json, "edited": _edited}
    harness = load_harness(question.files)
    texts = {f"prompts/{name}.md": text for name, text in sorted(harness.prompts.items())}
    ranked = sorted(question.diagnosis.scored, key=lambda item: item.score)
    return environment.from_string(PROMPT.read_text(encoding="utf-8")).render(
        task=question.task,
        diagnosis=question.diagnosis,
        best=question.diagnosis.best[:SHOWN],
        worst=ranked[:SHOWN],
        harness=harness,
        texts=texts | {SCAFFOLD: harness.scaffold},
        memory=question.memory,
        most_edits=MOST_EDITS,
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} [... {len(text) - most} characters more]"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _edited(edit: Edit) -> str:
    return f"{edit.kind} {edit.path} -> {_cut(_json(edit.new), 200)}"
