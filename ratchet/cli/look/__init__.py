"""The commands that look into a run: single attempts, and what lies between two releases."""

from __future__ import annotations

import typer

from ratchet.cli.look.diff import diff
from ratchet.cli.look.trace import trace


def add_to(app: typer.Typer) -> None:
    for command in (trace, diff):
        app.command()(command)
