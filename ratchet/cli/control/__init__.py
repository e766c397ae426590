"""The commands that steer a run: end it, continue it, choose its live release, derive its decisions again."""

from __future__ import annotations

import typer

from ratchet.cli.control import ending, releases, replaying
from ratchet.cli.control.going_on import extend, retry


def add_to(app: typer.Typer) -> None:
    for command in (
        retry,
        extend,
        ending.stop,
        ending.cancel,
        replaying.replay,
        releases.rollback,
        releases.export,
        releases.export_curves,
    ):
        app.command()(command)
