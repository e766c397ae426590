"""`ratchet bench denoising`: a run's best program against every baseline on matrices that the run never
learned on, and what an evaluation costs as cells grow 1, 2, 4, 8 times.

    ratchet bench denoising --run RUN --matrices PATH     PATH as `ratchet eval --instances` takes it
    ratchet bench denoising --program FILE --matrices PATH
    ratchet bench denoising --cells 250                   time and memory; --matrix FILE takes cells of that

The program is chosen on fresh instances of the train split; the matrices choose nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ratchet.runs import findings
from ratchet.runs import folder as runs
from ratchet.runs.comparing import compared
from ratchet.tasks import task_data
from sandbox_service.evaluate import Evaluator
from shared.ledger.history.folding import fold
from shared.machine import machine_and_date
from shared.messages.records import Block, CandidateBatch, Evaluation, JsonObject
from shared.store.store import LocalStore
from shared.tasks.draws import draw
from shared.tasks.task import Task, load_task

FINALISTS = 8  # of the run's train programs, by their score there
CHOSEN_ON = 4  # fresh train instances that decide between them
CHOOSING_SEED = 90_001  # the loop's own draws come from other seeds


FACTORS = (1, 2, 4, 8)


def costs(cells: int, matrix: Path | None) -> list[JsonObject]:
    """Time and memory of one evaluation, a row a size."""
    program = load_task("denoising").folder / "cost.py"
    rows: list[JsonObject] = []
    for factor in FACTORS:
        command = [sys.executable, str(program), str(cells * factor), *([str(matrix)] if matrix else [])]
        rows.append(
            json.loads(subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout)
        )
    return rows


def programs_of(name: str) -> tuple[Task, list[str]]:
    """The task that a run was made on, and its best different train programs."""
    folder = runs.find(name)
    history = fold(folder.open_ledger().events(folder.run_id))
    task = load_task(folder.config().run.task)
    return task, findings.best_contents(history, folder.open_store(), FINALISTS)


def evaluate(task: Task, blocks: Sequence[tuple[JsonObject, Sequence[str]]]) -> list[tuple[Evaluation, ...]]:
    """Final evaluations, as `ratchet eval` makes them."""
    with tempfile.TemporaryDirectory(prefix="ratchet-bench-") as scratch:
        evaluator = Evaluator(LocalStore(Path(scratch) / "store"), Path(scratch) / "cache")
        entries = tuple(
            Block(instance=instance, entries=tuple((str(n), source) for n, source in enumerate(sources)))
            for instance, sources in blocks
        )
        batch = CandidateBatch(task=str(task.folder), check="final", fresh=True, blocks=entries)
        try:
            return list(evaluator.evaluate(batch).blocks)
        finally:
            evaluator.close()


def choose(task: Task, programs: Sequence[str]) -> tuple[str, list[float]]:
    """The program with the best mean over a few fresh train instances, and all means."""
    drawn = draw(task, "train", CHOSEN_ON, CHOOSING_SEED)
    rows = evaluate(task, [(instance, programs) for instance in drawn])
    means = [statistics.fmean(row[number].score for row in rows) for number in range(len(programs))]
    return programs[means.index(max(means))], means


def held_back(task: Task, program: str, source: Path) -> JsonObject:
    """The program beside the baselines on the same held-out molecules, per matrix and over all."""
    with (
        tempfile.TemporaryDirectory(prefix="ratchet-bench-") as scratch,
        task_data.examined(task, source, Path(scratch)) as (copy, instances),
    ):
        bound = load_task(str(copy))
        found = evaluate(bound, [(instance, [program]) for instance in instances])
        baselines = task_data.baselines(bound, instances)
    rows = [
        {"id": instance["id"], "instance": instance, "score": made.score, "outcome": made.outcome}
        | made.metrics
        for instance, (made,) in zip(instances, found, strict=True)
    ]
    return {"instances": rows, **compared(rows, baselines)}


def main(arguments: Sequence[str]) -> JsonObject:
    parser = argparse.ArgumentParser(prog="ratchet bench denoising")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--run", help="take the best program from this run's train rollouts")
    source.add_argument("--program", type=Path, help="a Python program that defines denoise(counts)")
    parser.add_argument("--matrices", type=Path, help="what the program is compared on")
    parser.add_argument("--cells", type=int, default=0, help="measure cost at 1, 2, 4 and 8 times as many")
    parser.add_argument(
        "--matrix", type=Path, help="whose cells cost is measured on; default the shipped one"
    )
    parser.add_argument("--out", type=Path, help="add the result to the list in this file")
    options = parser.parse_args(arguments)
    named = options.run or options.program
    if bool(named) != bool(options.matrices) or not (named or options.cells):
        parser.error("give --run or --program with --matrices, or --cells")
    result: JsonObject = dict(machine_and_date())
    if options.run:
        task, programs = programs_of(options.run)
        program, means = choose(task, programs)
        result |= {"run": options.run, "finalists": [round(mean, 4) for mean in means], "program": program}
    elif options.program:
        result["program"] = options.program.read_text(encoding="utf-8")
    if options.matrices:
        result["held_back"] = held_back(load_task("denoising"), result["program"], options.matrices)
    if options.cells:
        result["cost"] = costs(options.cells, options.matrix)
    if options.out:
        known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else []
        options.out.write_text(json.dumps([*known, result], indent=1) + "\n", encoding="utf-8")
    return result


if __name__ == "__main__":
    json.dump(main(sys.argv[1:]), sys.stdout, indent=1)
