"""The command `ratchet compare`: arms of a task at equal cost, or finished runs beside each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ratchet.cli.options import RUNS, AsJson, ConfigFile, Overrides, Root
from shared.machine import machine_and_date


def add_to(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    what: Annotated[
        list[str], typer.Argument(help="A task; or two or more finished runs.", metavar="TASK|RUN...")
    ],
    arms: Annotated[
        str,
        typer.Option(
            help="base, best-of-n, harness, weights, both, random, optuna, cmaes, baseline:NAME; TOML files. "
            "With commas."
        ),
    ] = "base,harness,weights,both",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each arm.")] = 3,
    budget: Annotated[int, typer.Option(min=1, help="Candidate evaluations of one run, all counted.")] = 1000,
    tokens: Annotated[int, typer.Option(min=0, help="Also at most so many tokens a run; 0: no cap.")] = 0,
    seconds: Annotated[float, typer.Option(min=0, help="Also at most so many seconds; 0: no cap.")] = 0.0,
    name: Annotated[str, typer.Option(help="The folder under --root; default compare-TASK.")] = "",
    config: ConfigFile = None,
    set_: Overrides = None,
    root: Root = RUNS,
    as_json: AsJson = False,
) -> None:
    """Whole runs at equal cost: does pulling both levers pay?

    `ratchet compare TASK` runs every arm with every seed under one budget, resumes where it was interrupted
    and reuses what is finished. `ratchet compare RUN RUN` sets finished runs beside each other. Writes
    comparison.json and pictures."""
    from ratchet.cli.tables import print_comparison
    from ratchet.compare.results import read_runs

    if len(what) > 1:
        result = read_runs(what, root)
        place = root / (name or "-".join(["compare", *result["arms"]]))
    else:
        caps = {"evaluations": budget, "tokens": tokens, "wall_s": seconds}
        place, result = _studied(what[0], arms.split(","), seeds, caps, name, config, set_ or [], root)
    result = {**machine_and_date(), **result}
    written = _write(result, place)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        print_comparison(result)
        typer.echo(f"written to {place}: {', '.join(written)}")


def _studied(
    task: str,
    arms: list[str],
    seeds: int,
    caps: dict[str, int | float],
    name: str,
    config: Path | None,
    overrides: list[str],
    root: Path,
) -> tuple[Path, dict[str, object]]:
    from ratchet.compare.arms import read_arms
    from ratchet.compare.results import read_study
    from ratchet.compare.study import Study, run_study
    from ratchet.runs.request import resolve_config
    from shared.config.settings import BudgetSection
    from shared.tasks.task import find_task

    place = root / (name or f"compare-{find_task(task).name}")
    resolved = resolve_config(task, config, overrides, None)
    study = Study(resolved, read_arms(arms), seeds, BudgetSection.model_validate(caps), place)
    run_study(study, lambda text: typer.echo(text, err=True))
    return place, read_study(study)


def _write(result: dict[str, object], place: Path) -> list[str]:
    from ratchet.compare.pictures import draw_candidates, draw_sealed

    place.mkdir(parents=True, exist_ok=True)
    (place / "comparison.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    draw_sealed(result, place / "sealed.png")
    draw_candidates(result, place / "candidates.png")
    return ["comparison.json", "sealed.png", "candidates.png"]
