"""The commands by which a run goes on."""

from __future__ import annotations

import typer

from ratchet.cli.options import RUNS, Root, RunName


def retry(run_name: RunName, root: Root = RUNS) -> None:
    """Try a run's dead jobs again, where their loss has not been counted yet."""
    from ratchet.runs import folder as runs
    from shared.ledger.reviving import revive

    folder = runs.find(run_name, root)
    revived = revive(folder.open_ledger(), folder.run_id)
    late = f"; {revived.too_late} are lost: what waited for them has gone on" if revived.too_late else ""
    typer.echo(f"{len(revived.rings)} jobs of {folder.run_id} are tried again{late}")
