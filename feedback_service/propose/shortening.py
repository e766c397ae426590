"""Un-distillation: patches that only drop prompt text, for weights that have learned what it says. They claim
no gain but "not worse by more than the margin" (docs/gate.md). The same is never proposed twice for the same
harness and weights.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from feedback_service.propose.moves import edit_key
from shared.harness.bundle import EXEMPLARS, Harness, Knob, KnobValue, load_harness
from shared.messages.proposals import Edit, Patch
from shared.messages.records import ShardState

SHOWN = ("exemplar", "shot", "cases")  # in the name of a knob that says how many examples a prompt shows
FEWEST_CHARS = 60  # of a paragraph that is worth a confirmation


def propose_shorter(
    base: str, files: Mapping[str, bytes], prompts: Collection[str], closed: Collection[frozenset[str]]
) -> Patch | None:
    """All examples at once, else one paragraph, the longest first. `prompts`: what train attempts were asked
    with; text that stands in none of them costs nothing. `closed`: patches that are not to be proposed."""
    harness = load_harness(files)
    for edits, reason in (*_without_examples(harness), *_without_paragraph(harness, prompts)):
        if frozenset(map(edit_key, edits)) not in closed:
            return Patch(base=base, edits=edits, reason=reason, claim="no_worse")
    return None


def prompt_texts(states: Iterable[ShardState]) -> set[str]:
    """The contents of all messages that the attempts asked the model with."""
    turns = (turn for state in states for attempt in state.attempts for turn in attempt.turns)
    asked = (request for turn in turns for request in turn.action.get("ask") or ())
    return {message["content"] for request in asked for message in request["messages"]}


def _without_examples(harness: Harness) -> Iterator[tuple[tuple[Edit, ...], str]]:
    knobs = {name: knob for name, knob in harness.knobs.items() if any(word in name for word in SHOWN)}
    fewer = {name: least for name, knob in knobs.items() if (least := _least(knob)) != knob.value}
    edits = tuple(Edit(kind="set_knob", path=name, new=value) for name, value in fewer.items())
    if edits:
        yield edits, f"drop examples ({', '.join(fewer)}): the weights may carry what they show"
    if harness.exemplars and not knobs:
        drop = Edit(kind="drop_exemplar", path=EXEMPLARS, new=0)
        yield (drop,) * len(harness.exemplars), "drop all exemplars: the weights may carry what they show"


def _least(knob: Knob) -> KnobValue:
    """The fewest examples; the knob's own value where it counts none."""
    if knob.kind == "int" and knob.low is not None:
        return int(knob.low)
    counts = [value for value in knob.choices or () if isinstance(value, int)]
    return min(counts, default=knob.value)


def _without_paragraph(harness: Harness, prompts: Collection[str]) -> Iterator[tuple[tuple[Edit, ...], str]]:
    """Not one with a placeholder, which the scaffold fills, nor a prompt's whole text."""
    found = [
        (paragraph, name)
        for name, text in harness.prompts.items()
        for paragraph in text.split("\n\n")
        if len(paragraph) >= FEWEST_CHARS and "{" not in paragraph
        if text.count(paragraph) == 1 and paragraph.strip() != text.strip()
        if any(paragraph.strip() in prompt for prompt in prompts)
    ]
    for paragraph, name in sorted(found, key=lambda one: (-len(one[0]), one)):
        edit = Edit(kind="replace_text", path=f"prompts/{name}.md", old=paragraph, new="")
        yield (edit,), f"drop a paragraph of {name}.md: the weights may carry what it says"
