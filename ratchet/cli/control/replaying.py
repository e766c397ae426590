"""`ratchet replay`: a run's decisions derived again, and what another harness would have done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ratchet.cli.options import RUNS, AsJson, Root, RunName
from shared.errors import DifferentDecisionError, SettingsError


def replay(
    run_name: RunName,
    from_: Annotated[
        int | None, typer.Option("--from", min=1, help="With --harness: the first generation to ask about.")
    ] = None,
    harness: Annotated[
        Path | None, typer.Option(help="A harness's folder: what would it have done on the stored traces?")
    ] = None,
    root: Root = RUNS,
    as_json: AsJson = False,
) -> None:
    """Derive every decision of a run again, from what is stored.

    No model and no sandbox is asked. The exit code is 3 where a decision differs from the stored one. With
    --harness, another harness's scaffold steps over the stored train traces, as far as they can answer it."""
    from ratchet.runs import folder as runs

    if harness is None and from_ is not None:
        raise SettingsError("--from asks about another harness", "add --harness DIR")
    folder = runs.find(run_name, root)
    if harness is not None:
        from ratchet.replay.other_harness import ask_other

        asked = ask_other(folder, from_ or 1, harness)
        typer.echo(json.dumps(asked, indent=2) if as_json else asked["text"])
        return
    from ratchet.replay.command import replay_run

    found = replay_run(folder)
    typer.echo(json.dumps(found, indent=2) if as_json else found["text"])
    if not found["equal"]:
        raise DifferentDecisionError(
            f"{found['run']}: a decision differs from the stored one",
            "an object or event was changed, or the run was made by a version that decides otherwise",
        )
