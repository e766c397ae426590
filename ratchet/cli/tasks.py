"""The commands around a task: make one, try it, bind data to it. The work is in ratchet/tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratchet.cli.options import AsJson, Overrides, TaskName
from shared.errors import SettingsError

if TYPE_CHECKING:
    from shared.config.settings import RunConfig


def add_to(app: typer.Typer) -> None:
    for command in (init, validate, data):
        app.command()(command)


def init(
    folder: Annotated[Path | None, typer.Argument(help="The new task's folder.")] = None,
    from_kernelbot: Annotated[
        Path | None, typer.Option(help="A folder with a task.yml to make a skeleton from.", metavar="DIR")
    ] = None,
    from_sia: Annotated[
        Path | None,
        typer.Option(help="A SIA task folder whose private answers are a table by id.", metavar="DIR"),
    ] = None,
    from_jsonl: Annotated[
        Path | None,
        typer.Option(
            "--examples", "--from-jsonl", help="JSON lines: an input and a right answer each.", metavar="FILE"
        ),
    ] = None,
    describe: Annotated[
        str,
        typer.Option(
            help="With --examples: the task in words. Its first harness is made from them, and drafted by a "
            "model where --set advisor.url and advisor.name give one.",
            metavar="TEXT",
        ),
    ] = "",
    metric: Annotated[
        str,
        typer.Option(
            help="With --examples, --from-sia: exact, contains, f1, numeric, regex or python:FILE; default: "
            "exact, or what suits the answers of a described task."
        ),
    ] = "",
    set_: Overrides = None,
) -> None:
    """Make a new task that works, to put your own problem into.

    ratchet init sums --examples rows.jsonl --describe "Add the numbers." --set advisor.url=URL
    """
    from ratchet.tasks import from_jsonl as jsonl
    from ratchet.tasks import from_kernelbot as kernelbot
    from ratchet.tasks import from_sia as sia
    from ratchet.tasks import new_task

    if from_kernelbot is not None:
        typer.echo("\n".join(kernelbot.create(from_kernelbot, folder)))
    elif folder is not None and from_sia is not None:
        typer.echo("\n".join(sia.create(folder, from_sia, metric)))
    elif folder is not None and from_jsonl is not None:
        config = _endpoints(set_ or []) if describe else None
        typer.echo("\n".join(jsonl.create(folder, from_jsonl, metric, describe, config)))
    elif describe:
        raise SettingsError("--describe needs examples", "--examples FILE: JSON lines of inputs and answers")
    elif folder is None:
        raise SettingsError(
            "no folder given",
            "ratchet init FOLDER [--from-jsonl FILE | --from-sia DIR], or --from-kernelbot DIR [FOLDER]",
        )
    else:
        typer.echo("\n".join(new_task.create(folder)))


def _endpoints(overrides: list[str]) -> RunConfig:
    """The advisor and the model that drafts are made and tried with, each seen to answer."""
    from ratchet.runs.endpoint import settle
    from shared.config.settings import load_config, parse_override

    config, notes = settle(load_config([parse_override(text) for text in overrides]))
    for note in notes:
        typer.echo(note, err=True)
    return config


def validate(task: TaskName, as_json: AsJson = False) -> None:
    """Try a task: manifest, splits, harness, verifier."""
    from ratchet.cli import tables
    from ratchet.tasks import validate as validation

    checks = validation.validate(task)
    tables.print_checks(checks, as_json)
    if not all(check.ok for check in checks):
        raise typer.Exit(2)


def data(
    task: TaskName,
    source: Annotated[Path, typer.Option("--from", help="A file or folder in a format that the task reads.")],
    out: Annotated[Path, typer.Option(help="The folder of the task with its data, which must not exist.")],
    set_: Overrides = None,
) -> None:
    """Import and check data into a task folder of its own."""
    from ratchet.runs.request import resolve_config
    from ratchet.tasks import task_data
    from shared.tasks.task import find_task

    config = resolve_config(task, None, set_ or [], None)
    made = task_data.create(find_task(task), source, out, config)
    typer.echo(json.dumps(made, indent=2, ensure_ascii=False))
