"""Right answers of train instances, put by the scaffold into its own prompts: what a supervised weight update
imitates. The verifier returns the answers, the boxed scaffold writes the prompts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shared.harness.bundle import load_harness
from shared.harness.steps import ScaffoldFailed, ScaffoldPool, scaffold_context
from shared.messages.proposals import Demonstration, Demonstrations
from shared.messages.records import JsonObject
from shared.store.store import Store, get_bundle, materialize
from shared.tasks.task import Task

FAILURES = 8  # of demonstrate, after which a scaffold is asked no more: each may take [attempt] step_s

Answers = Callable[[Task, int, int, list[JsonObject]], list[tuple[JsonObject, list[str]]]]


def demonstrations(
    store: Store,
    pool: ScaffoldPool,
    cache: Path,
    task: Task,
    right_answers: list[tuple[JsonObject, list[str]]],
    harness: str,
) -> tuple[Demonstrations, str]:
    """What the harness (a digest) makes of the instances with their answers, and why some are missing."""
    loaded = load_harness(get_bundle(store, harness))
    folder = materialize(store, harness, cache / "harnesses")
    fixed: JsonObject = {"knobs": loaded.values, "context": scaffold_context(task, loaded, None, 0)}
    shown: list[Demonstration] = []
    failures: list[str] = []
    for instance, answer in [(instance, answer) for instance, answers in right_answers for answer in answers]:
        if len(failures) == FAILURES:
            break
        payload = {"instance": instance, "answer": answer, **fixed}
        try:
            shown += pool.demonstrate(harness, folder, payload, task.manifest.attempt, task.public)
        except ScaffoldFailed as failure:
            failures.append(failure.message)
    return Demonstrations(items=tuple(shown)), failures[0] if failures else ""


def in_prompts_of_both(live: Demonstrations, proposed: Demonstrations, most: int) -> Demonstrations:
    """An adapter is screened under the live harness and under the proposed one, so it learns the prompts of
    both: every answer in each where that makes at most `most`, else every second instance in the proposed
    one's."""
    known = set(live.items)
    new = [item for item in proposed.items if item not in known]
    if len(known) + len(new) > most:
        every_second = set(list(dict.fromkeys(item.instance_id for item in new))[::2])
        new = [item for item in new if item.instance_id in every_second]
        known -= {item for item in live.items if item.instance_id in every_second}
    return Demonstrations(items=(*(item for item in live.items if item in known), *new))
