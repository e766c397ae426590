"""The commands on a run's releases: take one out, with the curves of its training, or go back to one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ratchet.cli.options import RUNS, Root, RunName


def rollback(
    run_name: RunName,
    generation: Annotated[
        str,
        typer.Argument(
            help="Make live what was live after it; 0: the first release. Default: the one before."
        ),
    ] = "",
    root: Root = RUNS,
) -> None:
    """Take a promotion back: an older release is live again."""
    from ratchet.runs import folder as runs
    from ratchet.serving.rollback import roll_back

    typer.echo(roll_back(runs.find(run_name, root), generation))


def export(
    run_name: RunName,
    out: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    base: Annotated[bool, typer.Option("--base", help="The base model's files, too.")] = False,
    root: Root = RUNS,
) -> None:
    """Write out the winner: adapter, harness, best program."""
    from ratchet.runs import folder as runs
    from ratchet.runs.exports.export import export as write_out

    typer.echo("\n".join(write_out(runs.find(run_name, root), out, base)))


def export_curves(
    run_name: RunName,
    tracker: Annotated[str, typer.Option("--to", help="mlflow or trackio, where it is installed.")],
    root: Root = RUNS,
) -> None:
    """Hand a run's training curves on to an experiment tracker. Each adapter is an experiment run."""
    from ratchet.reports.trackers import export_curves as hand_on
    from ratchet.runs import folder as runs

    for name in hand_on(runs.find(run_name, root), tracker):
        typer.echo(f"{tracker}: {name}")
