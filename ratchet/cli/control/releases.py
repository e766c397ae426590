"""The commands on a run's releases: take one out, go back to one."""

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
    root: Root = RUNS,
) -> None:
    """Write out the winner: adapter, harness, best program."""
    from ratchet.runs import export as exports
    from ratchet.runs import folder as runs

    typer.echo("\n".join(exports.export(runs.find(run_name, root), out)))
