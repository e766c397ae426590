"""A check of `ratchet validate` for a task's splits: they draw the same instances for the same arguments,
share no instance, and have enough of them for a run.
"""

from __future__ import annotations

import json

from shared.config.settings import RunConfig
from shared.errors import TaskError
from shared.messages.records import JsonObject
from shared.tasks.draws import draw
from shared.tasks.task import Task

SPLITS = ("train", "gate", "test")
DRAWN = 16
DRAW_S = 60.0  # of a draw of a few: `ratchet run` waits longer
TELLING = {"answer", "answers", "label", "labels", "target", "solution", "expected", "gold", "truth"}
Drawn = dict[str, list[JsonObject]]


def check(task: Task) -> Drawn:
    """A few instances of each split. Raises TaskError that names what is wrong."""
    drawn: Drawn = {}
    for split in SPLITS:
        drawn[split] = draw(task, split, DRAWN, 1, DRAW_S)
        if not drawn[split]:
            raise TaskError(f"draw({split!r}) gives no instance", "every split needs some")
        if len(drawn[split]) > DRAWN:
            raise TaskError(
                f"draw({split!r}, {DRAWN}, 1) gives {len(drawn[split])} instances", "give `count` at most"
            )
        if not draw(task, split, 1, 1, DRAW_S):
            raise TaskError(
                f"draw({split!r}, 1, 1) gives no instance, and draw({split!r}, {DRAWN}, 1) gives some",
                "give `count` as long as the split has so many",
            )
        if draw(task, split, DRAWN, 1, DRAW_S) != drawn[split]:
            raise TaskError(f"draw({split!r}) differs from call to call", "draw from the seed alone")
    seen: dict[str, str] = {}
    for split, instances in drawn.items():
        for instance in instances:
            other = seen.setdefault(str(instance["id"]), split)
            if other != split:
                raise TaskError(
                    f"instance {instance['id']} stands in {other} and in {split}: {_content(instance)}",
                    "an id of its own for every instance, with its split in it",
                )
    return drawn


def notes(task: Task, drawn: Drawn, config: RunConfig) -> list[str]:
    """Findings that do not break a run but may weaken it."""
    found = []
    known = {_content(instance) for split in ("train", "gate") for instance in drawn[split]}
    again = sum(_content(instance) in known for instance in drawn["test"])
    if again:
        found.append(
            f"{again} of {len(drawn['test'])} test instances are, but for their ids, train or gate ones"
        )
    telling = sorted({name for instance in drawn["train"] for name in instance if name.lower() in TELLING})
    if telling:
        found.append(f"instances hold {', '.join(telling)}, which the model sees")
    if draw(task, "train", DRAWN, 2, DRAW_S) == drawn["train"] and len(drawn["train"]) == DRAWN:
        found.append("draw gives the same train instances for another seed: each generation sees the same")
    gate = config.run.generations * (config.gate.screen_instances + config.gate.max_pairs)
    for split, wanted in (("gate", gate), ("test", config.gate.test_instances)):
        there = len(draw(task, split, wanted, 1))
        if there < wanted:
            found.append(f"{split} has {there} instances of the {wanted} that a run can use")
    return found


def _content(instance: JsonObject) -> str:
    return json.dumps({key: value for key, value in instance.items() if key != "id"}, sort_keys=True)
