"""The commands by which a run continues: dead jobs tried again, limits raised."""

from __future__ import annotations

from typing import Annotated

import typer

from ratchet.cli.options import RUNS, AsJson, Overrides, Root, RunName


def retry(run_name: RunName, root: Root = RUNS) -> None:
    """Try a run's dead jobs again; reopen a failed run. A job whose loss was counted stays lost."""
    from ratchet.runs import folder as runs
    from shared.ledger.steering.reopening import reopen
    from shared.ledger.steering.reviving import revive

    folder = runs.find(run_name, root)
    ledger = folder.open_ledger()
    if ledger.run_state(folder.run_id) == "failed":
        count = reopen(ledger, folder.run_id)
        follow = "its stack continues it" if folder.stack else f"`ratchet resume {run_name}` continues it"
        typer.echo(f"{folder.run_id} is reopened, {count} jobs are tried again; {follow}")
        return
    revived = revive(ledger, folder.run_id)
    late = f"; {revived.too_late} are lost: what waited for them has continued" if revived.too_late else ""
    typer.echo(f"{len(revived.rings)} jobs of {folder.run_id} are tried again{late}")


def extend(
    run_name: RunName,
    generations: Annotated[int | None, typer.Option(min=1, help="At most, in all.")] = None,
    set_: Overrides = None,
    detach: Annotated[bool, typer.Option(help="Raise the limits and leave.")] = False,
    root: Root = RUNS,
    as_json: AsJson = False,
) -> None:
    """Raise a run's limits; one that has ended continues. Nothing is paid twice.

    --set takes budget.* and convergence.*. Generations beyond the first limit share alpha / 2, those of a
    second raise alpha / 4, and so on: docs/gate.md."""
    from ratchet.cli.runs import drive_to_end
    from ratchet.runs import folder as runs
    from ratchet.runs import start
    from ratchet.runs.control.extending import extend as raise_limits

    folder = runs.find(run_name, root)
    typer.echo(raise_limits(folder, generations, set_ or []), err=as_json)
    if not detach:
        drive_to_end(folder, start.stack_of(folder), as_json)
