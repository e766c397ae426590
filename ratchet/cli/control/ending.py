"""The commands that end a run: in order, or at once."""

from __future__ import annotations

import typer

from ratchet.cli.options import RUNS, Root, RunName


def stop(run_name: RunName, root: Root = RUNS) -> None:
    """End a run after this generation, with its final test."""
    from ratchet.api.run import open_run

    found = open_run(run_name, root)
    found.stop()
    typer.echo(f"{found.name} will stop after the present generation and then run its final test")


def cancel(run_name: RunName, root: Root = RUNS) -> None:
    """End a run at once and for good, without a final test."""
    from ratchet.runs import folder as runs
    from ratchet.runs.control.cancelling import cancel as end_now

    typer.echo(end_now(runs.find(run_name, root)))
