"""A search arm: a black-box sampler over the space that a task declares (space.py), at the same evaluations
as a run of the loop, and scored on the same sealed instances. No model and no gate.

Each evaluation meets a fresh train instance. The last part of the budget looks again at the best points,
since a single look at the best of many flatters it. Every evaluation is a line of trials.jsonl, so that a
search that was interrupted continues: what was evaluated is given to the sampler, and not evaluated again.
"""

from __future__ import annotations

import json
import math
import runpy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ratchet.compare.outcome import is_finished, write_outcome
from ratchet.compare.samplers import SAMPLERS, Point, Sampler, Space
from sandbox_service.evaluate import Evaluator
from shared.config.settings import RunConfig
from shared.decisions.arms import instance_key
from shared.decisions.pool import sealed_instances
from shared.errors import SettingsError
from shared.messages.records import Block, CandidateBatch, Check, JsonObject, derive_seed
from shared.store.store import LocalStore
from shared.tasks.draws import draw
from shared.tasks.task import Task, task_of

SPACE_PROGRAM = "space.py"
FINALISTS = 4  # points that are looked at again
FINAL_LOOKS = 8  # ... on that many instances each
FINAL_SHARE = 0.2  # of the evaluations, at most
TRIALS = "trials.jsonl"
Answer = Callable[[Point, JsonObject], str]


@dataclass(frozen=True)
class DeclaredSpace:
    """space.py of a task: SPACE, choices by name, and `answer(point, instance)`, the candidate of a point."""

    choices: Space
    answer: Answer


def read_space(task: Task) -> DeclaredSpace:
    """Raises SettingsError where the task declares none."""
    program = task.program(SPACE_PROGRAM)
    if program is None:
        raise SettingsError(
            f"{task.name} declares no space to search",
            f"{SPACE_PROGRAM} in its folder declares one: SPACE and answer(point, instance)",
        )
    found = runpy.run_path(str(program))
    return DeclaredSpace(found["SPACE"], found["answer"])


class Trials:
    """Evaluations in their order, kept in a file; `at` evaluates only what the file does not hold yet."""

    def __init__(self, file: Path, evaluate: Callable[[Point, JsonObject, Check], JsonObject]) -> None:
        self._file = file
        self._evaluate = evaluate
        self.rows: list[JsonObject] = []
        self._known = _whole_lines(file)

    def at(self, stage: str, point: Point, instance: JsonObject, check: Check) -> float:
        number = len(self.rows)
        if number < len(self._known):
            row = self._known[number]
            if row["point"] != point or row["stage"] != stage:
                raise SettingsError(
                    f"{self._file}: line {number + 1} is of another search", "delete the file"
                )
        else:
            started_s = time.monotonic()
            row = {"stage": stage, "point": point, "instance": instance_key(instance)}
            row |= self._evaluate(point, instance, check)
            row["wall_s"] = time.monotonic() - started_s
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        self.rows.append(row)
        return float(row["score"])

    @property
    def wall_s(self) -> float:
        """Of all evaluations, those before an interruption included."""
        return math.fsum(row["wall_s"] for row in self.rows)


def run_search(name: str, config: RunConfig, folder: Path, note: Callable[[str], None]) -> None:
    """Search to its end; a finished one is left as it is."""
    if is_finished(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    task = task_of(config)
    space = read_space(task)
    evaluator = Evaluator(LocalStore(folder / "store"), folder / "cache")

    def evaluate(point: Point, instance: JsonObject, check: Check) -> JsonObject:
        block = Block(instance=instance, entries=(("", space.answer(point, instance)),))
        batch = CandidateBatch(
            task=str(task.folder), check=check, fresh=True, limits=config.attempt, blocks=(block,)
        )
        (found,) = evaluator.evaluate(batch).blocks[0]
        return {"score": found.score, "outcome": found.outcome}

    trials = Trials(folder / TRIALS, evaluate)
    try:
        best, sealed = _searched(SAMPLERS[name](space.choices, config.run.seed), config, task, trials, note)
    finally:
        evaluator.close()
    write_outcome(folder, sealed, len(trials.rows), trials.wall_s, best=best)


def _searched(
    sampler: Sampler, config: RunConfig, task: Task, trials: Trials, note: Callable[[str], None]
) -> tuple[Point, dict[str, float]]:
    sealed_count = config.gate.test_instances
    budget = config.budget.evaluations - sealed_count
    finals = min(FINALISTS * FINAL_LOOKS, int(budget * FINAL_SHARE))
    if budget - finals < 1:
        raise SettingsError(
            f"{config.budget.evaluations} evaluations leave none to search with",
            f"the sealed test needs {sealed_count}",
        )
    met = draw(task, "train", budget, derive_seed(config.run.seed, "search"))
    for number in range(budget - finals):
        point = sampler.ask()
        sampler.tell(trials.at("search", point, met[number % len(met)], "public"))
        if config.budget.wall_s and trials.wall_s > config.budget.wall_s:
            break
        if number % 50 == 49:
            note(f"  {number + 1} of {budget - finals} evaluations")
    best = chosen(trials, met[-finals:], finals)
    sealed = sealed_instances(config, task, partial(draw, task))
    return best, {instance_key(one): trials.at("sealed", best, one, "final") for one in sealed}


def chosen(trials: Trials, instances: Sequence[JsonObject], looks: int) -> Point:
    """The best of the finalists by new looks, each on the same instances; where there are no looks, the point
    whose single look was the best."""
    ranked = ranked_points(trials.rows)
    each = looks // FINALISTS
    if not each:
        return ranked[0]
    means = []
    for point in ranked[:FINALISTS]:
        scores = [trials.at("final", point, instance, "public") for instance in instances[:each]]
        means.append(math.fsum(scores) / each)
    return ranked[means.index(max(means))]


def ranked_points(rows: Sequence[Mapping[str, Any]]) -> list[Point]:
    """Distinct points, the best mean score first."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        scores.setdefault(json.dumps(row["point"]), []).append(row["score"])
    ranked = sorted(scores, key=lambda text: -math.fsum(scores[text]) / len(scores[text]))
    return [json.loads(text) for text in ranked]


def _whole_lines(file: Path) -> list[JsonObject]:
    """What was written whole; a last line that was cut off is dropped from the file."""
    if not file.exists():
        return []
    text = file.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]
