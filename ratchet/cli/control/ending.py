"""The commands that end a run: in order, or at once."""

from __future__ import annotations

import typer

from ratchet.cli.options import RUNS, Root, RunName


def stop(run_name: RunName, root: Root = RUNS) -> None:
    """End a run after the present generation, with its final test."""
    from ratchet.runs import folder as runs
    from shared.messages.events import StopRequested

    folder = runs.find(run_name, root)
    folder.open_ledger().submit([StopRequested(run_id=folder.run_id)])
    typer.echo(f"{folder.run_id} will stop after the present generation and then run its final test")
