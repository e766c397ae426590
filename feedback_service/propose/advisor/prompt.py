"""The advisor's prompt. Whatever a candidate, a scaffold, an instance or an earlier answer wrote stands in it
as quoted data, between marks that its text can't hold: they are named after a digest of all that is quoted.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from feedback_service.propose.advisor.answer import MOST_STEPS, RATES
from feedback_service.propose.advisor.past import PastGeneration
from feedback_service.propose.advisor.traces import Trace
from feedback_service.propose.diagnosis import Diagnosis
from feedback_service.propose.memory import Memory
from shared.harness.bundle import EXEMPLARS, SCAFFOLD, load_harness
from shared.messages.proposals import DesignRecord, Edit
from shared.messages.records import digest_of
from shared.tasks.task import TaskManifest

PROMPT = Path(__file__).parent / "prompts" / "advise.md"
GROUPS_SHOWN = 40


@dataclass(frozen=True)
class Question:
    """Everything that the prompt is made of, and what bounds the answer."""

    task: TaskManifest
    base: str  # digest of the harness
    files: Mapping[str, bytes]  # of the harness
    diagnosis: Diagnosis
    memory: Memory
    traces: list[Trace] = field(default_factory=list)  # of all train attempts
    chosen: list[Trace] = field(default_factory=list)  # those shown in full
    past: list[PastGeneration] = field(default_factory=list)
    notes: str = ""
    most_edits: int = 6
    number: int = 1  # of the generation
    design: DesignRecord | None = None  # what trials of knob settings on train instances found
    slow: list[tuple[str, float, float]] = field(default_factory=list)  # instance, score before, score now


def render(question: Question) -> list[dict[str, str]]:
    """The messages of the request."""
    quoted: list[str] = []
    _render(question, "", quoted)
    mark = digest_of(quoted)[:16]
    while any(mark in text for text in quoted):  # a digest of itself: not to be met, and ruled out
        mark = digest_of(mark)[:16]
    system, user = _render(question, mark, []).split("\n=====\n", 1)
    return [{"role": "system", "content": system.strip()}, {"role": "user", "content": user.strip()}]


def _render(question: Question, mark: str, quoted: list[str]) -> str:
    harness = load_harness(question.files)
    texts = {f"prompts/{name}.md": text for name, text in sorted(harness.prompts.items())}
    texts |= {SCAFFOLD: harness.scaffold}
    if EXEMPLARS in question.files:
        texts |= {EXEMPLARS: json.dumps(harness.exemplars, indent=1, ensure_ascii=False)}
    return _template().render(
        question=question,
        mark=mark,
        quoted=quoted,
        harness=harness,
        texts=texts,
        groups=_groups(question.traces),
        groups_shown=GROUPS_SHOWN,
        steps=MOST_STEPS,
        rates=RATES,
    )


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"quote": _quote, "tojson": _json, "edited": _edited, "last_reply": last_reply}
    return environment.from_string(PROMPT.read_text(encoding="utf-8"))


@jinja2.pass_context
def _quote(context: jinja2.runtime.Context, text: str, most: int) -> str:
    shown = _cut(text, most)
    context["quoted"].append(shown)
    return f"<data-{context['mark']}>\n{shown}\n</data-{context['mark']}>"


def last_reply(trace: Trace) -> str:
    """The model's last reply of an attempt, and how the attempt ended where it failed."""
    replies = trace.attempt.replies
    return replies[-1].text if replies else ""


def _groups(traces: list[Trace]) -> list[tuple[str, str]]:
    """g1 -> its attempts with their scores, in the numbers that an answer may name."""
    groups: dict[str, list[str]] = {}
    for trace in traces:
        score = "none" if trace.score is None else f"{trace.score:.3f}"
        outcome = trace.attempt.final.outcome if trace.attempt.final else "no answer"
        shown = f"{trace.label} {score}" + ("" if outcome == "ok" else f" ({outcome})")
        groups.setdefault(trace.group, []).append(shown)
    return [(group, ", ".join(shown)) for group, shown in groups.items()]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} [... {len(text) - most} characters more]"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _edited(edit: Edit) -> str:
    return f"{edit.kind} {edit.path} -> {_cut(_json(edit.new), 200)}"
