"""`ratchet validate`: tries a task folder part by part, on the parts that a run would use, without a model:
everything that a run calls is called, with well-formed, empty, senseless and hostile answers.

It reports what breaks (not ok), what a model could score without doing the task, and how long a run would
take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ratchet.check import Check
from ratchet.tasks import answers_check, seed_answers, splits_check, task_data
from ratchet.tasks.attempt_check import Trial
from ratchet.tasks.rehearsal.client import rehearse
from sandbox_service.evaluate import TOOLCHAINS
from shared.config.settings import RunConfig, load_config
from shared.decisions.plan import plan
from shared.errors import RatchetError, TaskError
from shared.harness.bundle import load_harness
from shared.harness.folder import left_out, read_harness
from shared.harness.steps import ScaffoldFailed
from shared.messages.records import JsonObject
from shared.tasks.task import Task, find_task

FAULTS_SHOWN = 6


@dataclass
class Tried:
    """What the parts have found so far."""

    task: Task
    config: RunConfig
    instances: list[JsonObject] = field(default_factory=list)  # of the train split
    answers: list[str] = field(default_factory=list)  # well-formed ones
    notes: list[str] = field(default_factory=list)  # what could be gamed, or does not suit a run
    scoring_s: float = 0.0  # of one candidate


def validate(name: str) -> list[Check]:
    """One Check a part; a part that rests on a broken one is left out."""
    task = find_task(name)
    tried = Tried(task, load_config([task.manifest.defaults]))
    parts: list[tuple[str, Callable[[Tried], str]]] = [
        ("manifest", check_manifest),
        ("splits", check_splits),
        ("harness", check_harness),
        ("seed corpus", check_corpus),
        ("verifier", check_verifier),
        ("attempt", check_attempt),
        ("right answers", check_answers),
        ("baselines", check_baselines),
        ("what could be gamed", noted),
        ("a run", estimated_costs),
    ]
    checks: list[Check] = []
    for part, look in parts:
        try:
            checks.append(Check(part, True, look(tried)))
        except (RatchetError, ScaffoldFailed) as error:
            checks.append(Check(part, False, error.message, error.hint))
            break
    return checks


def check_manifest(tried: Tried) -> str:
    manifest = tried.task.manifest
    if manifest.toolchain not in TOOLCHAINS:
        raise TaskError(f"unknown toolchain {manifest.toolchain!r}", f"known: {', '.join(TOOLCHAINS)}")
    if not manifest.score.low < manifest.score.high:
        raise TaskError(
            f"[score] low {manifest.score.low:g} is not below high {manifest.score.high:g}",
            "they are the bounds of what the verifier's score may be",
        )
    return f"{manifest.name}, toolchain {manifest.toolchain}, in {tried.task.folder}"


def check_splits(tried: Tried) -> str:
    found = splits_check.check(tried.task)
    tried.instances = found["train"]
    tried.notes += splits_check.notes(tried.task, found, tried.config)
    return ", ".join(f"{split} {len(instances)}" for split, instances in found.items())


def check_harness(tried: Tried) -> str:
    folder = tried.task.folder / "harness"
    harness = load_harness(read_harness(folder))
    parts = f"{len(harness.knobs)} knobs, {len(harness.prompts)} prompts, {len(harness.exemplars)} exemplars"
    out = left_out(folder)
    return f"{parts}; left out, as no part of a harness: {', '.join(out)}" if out else parts


def check_corpus(tried: Tried) -> str:
    """Well-formed answers, from the program that the seed model learns them from."""
    if tried.task.manifest.seed_corpus is None:
        return "none: bring a model (model.url or model.base)"
    tried.answers = seed_answers.answers(tried.task)
    return f"{len(tried.answers)} well-formed answers, such as {tried.answers[0][:60]!r}"


def check_verifier(tried: Tried) -> str:
    found = rehearse(tried.task, tried.instances, tried.answers)
    tried.notes += found.notes
    tried.scoring_s = found.score_s
    if found.faults:
        shown = "; ".join(what for what, _ in found.faults[:FAULTS_SHOWN])
        more = f"; and {len(found.faults) - FAULTS_SHOWN} more" if len(found.faults) > FAULTS_SHOWN else ""
        raise TaskError(shown + more, found.faults[0][1])
    return f"{found.scorings} answers or outputs judged, senseless and hostile ones too"


def check_attempt(tried: Tried) -> str:
    """Whole attempts in the box, with empty, senseless and well-formed replies, and plain candidates."""
    instance = tried.instances[-1]
    with Trial(tried.task) as trial:
        results = [f"scored {trial.attempt(instance, ['']).score:g} with an empty reply"]
        trial.attempt(instance, ["[" * 2000 + "\x00 {0} %s 答案 "])
        if tried.answers:
            final = trial.attempt(instance, tried.answers)
            results.append(f"{final.score:g} ({final.outcome}) with a well-formed one")
        results += trial.candidates(instance)
        if tried.task.manifest.toolchain != "answer":  # compiling and boxes take most of the time there
            tried.scoring_s = trial.scoring_s
    return ", ".join(results)


def check_answers(tried: Tried) -> str:
    if not answers_check.offers_answers(tried.task):
        return "none offered: no weight update can imitate them"
    with Trial(tried.task) as trial:
        return answers_check.check(tried.task, trial)


def check_baselines(tried: Tried) -> str:
    found = task_data.baselines(tried.task, tried.instances[:2])
    for name, rows in found.items():
        if not isinstance(rows, list) or len(rows) != len(tried.instances[:2]):
            raise TaskError(f"baselines.py: {name!r} is no list of a row an instance", "see docs/tasks.md")
        if not all(isinstance(row.get("score"), int | float) for row in rows):
            raise TaskError(f"baselines.py: a row of {name!r} has no score", "see docs/tasks.md")
    return ", ".join(found) or "none"


def noted(tried: Tried) -> str:
    return "; ".join(tried.notes) or "nothing was found"


def estimated_costs(tried: Tried) -> str:
    """By the task's own settings, at most."""
    whole = plan(tried.config, tried.task)[-1]
    return (
        f"at most {whole.evaluations:,} scorings, {_duration(whole.evaluations * tried.scoring_s)} of this "
        f"machine's time at {_duration(tried.scoring_s)} each, and {whole.tokens:,} tokens of replies"
    )


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
