"""`ratchet validate`: tries a task folder part by part, on the parts that a run would use, without a model.

The model's place is taken by an empty reply: the scaffold must get through an attempt with it, and the
verifier must say something about what comes out, be it "refused".
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from ratchet.check import Check
from sandbox_service.demonstrating import demonstrations
from sandbox_service.evaluate import Evaluator
from shared.box.open import open_box
from shared.errors import RatchetError, TaskError
from shared.harness.bundle import load_harness
from shared.harness.scaffold_check import has_function
from shared.harness.steps import ScaffoldFailed, ScaffoldPool, scaffold_context
from shared.messages.records import Block, CandidateBatch, Evaluation, JsonObject
from shared.store.store import LocalStore, put_bundle, read_folder
from shared.tasks.draws import draw
from shared.tasks.task import Task, find_task

SPLITS = ("train", "gate", "test")
DRAWN = 16


def validate(name: str) -> list[Check]:
    """One Check a part; a part that rests on a broken one is left out."""
    task = find_task(name)
    parts: list[tuple[str, Callable[[Task], str]]] = [
        ("manifest", lambda task: f"{task.name}, toolchain {task.manifest.toolchain}"),
        ("splits", check_splits),
        ("harness", check_harness),
        ("attempt", check_attempt),
    ]
    if tells_answers(task):
        parts.append(("right answers", check_answers))
    checks: list[Check] = []
    for part, look in parts:
        try:
            checks.append(Check(part, True, look(task)))
        except (RatchetError, ScaffoldFailed) as error:
            checks.append(Check(part, False, str(error), getattr(error, "hint", "")))
            break
    return checks


def check_splits(task: Task) -> str:
    """Every split draws, the same arguments draw the same, and no instance stands in two splits."""
    drawn: dict[str, list[JsonObject]] = {}
    for split in SPLITS:
        drawn[split] = draw(task, split, DRAWN, 1)
        if not drawn[split]:
            raise TaskError(f"draw({split!r}) gives no instance", "every split needs some")
        if any("id" not in instance for instance in drawn[split]):
            raise TaskError(f"draw({split!r}) gives an instance without an id", "name each one")
        if draw(task, split, DRAWN, 1) != drawn[split]:
            raise TaskError(f"draw({split!r}) differs from call to call", "draw from the seed alone")
    seen: dict[str, str] = {}
    for split in SPLITS:
        for instance in drawn[split]:
            bare = json.dumps({key: value for key, value in instance.items() if key != "id"}, sort_keys=True)
            other = seen.setdefault(str(instance["id"]), split)
            if other != split:
                raise TaskError(f"instance {instance['id']} stands in {other} and in {split}: {bare}")
    return ", ".join(f"{split} {len(instances)}" for split, instances in drawn.items())


def check_harness(task: Task) -> str:
    harness = load_harness(read_folder(task.folder / "harness"))
    return f"{len(harness.knobs)} knobs, {len(harness.prompts)} prompts, {len(harness.exemplars)} exemplars"


def check_attempt(task: Task) -> str:
    """One whole attempt in the box, with empty replies; returns how it was scored."""
    files = read_folder(task.folder / "harness")
    harness = load_harness(files)
    instance = draw(task, "train", 1, 2)[0]
    limits = task.manifest.attempt
    context = scaffold_context(task, harness, None, 0)
    history: list[JsonObject] = []
    with tempfile.TemporaryDirectory() as folder, ScaffoldPool(open_box()) as pool:
        digest = put_bundle(LocalStore(Path(folder) / "store"), files)
        evaluator = Evaluator(LocalStore(Path(folder) / "store"), Path(folder) / "cache")
        try:
            for _ in range(limits.turns):
                payload = {
                    "instance": instance,
                    "history": history,
                    "knobs": harness.values,
                    "context": context,
                }
                action = pool.step(digest, task.folder / "harness", payload, limits, task.public)
                if "answer" in action:
                    final = evaluate(evaluator, task, instance, [action["answer"]["content"]])[0]
                    return f"scored {final.score} ({final.outcome}) with an empty reply"
                history.append(answered(evaluator, task, instance, action))
        finally:
            evaluator.close()
    raise TaskError(
        f"the scaffold gives no answer within {limits.turns} turns", "raise [attempt] turns, or answer"
    )


def tells_answers(task: Task) -> bool:
    return has_function((task.folder / "verifier.py").read_text(encoding="utf-8"), "answers")


def check_answers(task: Task) -> str:
    """The verifier gives its own right answers the highest score, and the scaffold can show them."""
    files, high = read_folder(task.folder / "harness"), task.manifest.score.high
    if not has_function(load_harness(files).scaffold, "demonstrate"):
        raise TaskError("verifier.py has answers, but scaffold.py no demonstrate", "docs/tasks.md shows both")
    with tempfile.TemporaryDirectory() as folder, ScaffoldPool(open_box()) as pool:
        store = LocalStore(Path(folder) / "store")
        evaluator = Evaluator(store, Path(folder) / "cache")
        try:
            told = evaluator.answers(task, DRAWN, 1)
            for instance, answers in told:
                for answer, found in zip(answers, evaluate(evaluator, task, instance, answers), strict=True):
                    if found.score < high:
                        raise TaskError(
                            f"instance {instance['id']}: the right answer {answer!r} scores {found.score}"
                        )
        finally:
            evaluator.close()
        made, failure = demonstrations(store, pool, Path(folder), task, put_bundle(store, files), told)
    if failure:
        raise TaskError(f"demonstrate failed: {failure}")
    known = sum(bool(answers) for _, answers in told)
    return f"of {known} of {len(told)} train instances; {len(made.items)} demonstrations"


def answered(evaluator: Evaluator, task: Task, instance: JsonObject, action: JsonObject) -> JsonObject:
    """The action as it will stand in the history: empty replies to an ask, real results to a try."""
    replies = ["" for request in action.get("ask", ()) for _ in range(request.get("n", 1))]
    contents = [candidate["content"] for candidate in action.get("try", ())]
    results = (
        [result.model_dump() for result in evaluate(evaluator, task, instance, contents)] if contents else []
    )
    return {"action": action, "replies": replies, "results": results}


def evaluate(
    evaluator: Evaluator, task: Task, instance: JsonObject, contents: list[str]
) -> tuple[Evaluation, ...]:
    block = Block(instance=instance, entries=tuple((str(i), content) for i, content in enumerate(contents)))
    batch = CandidateBatch(task=str(task.folder), check="public", fresh=True, blocks=(block,))
    return evaluator.evaluate(batch).blocks[0]
