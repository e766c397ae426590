"""The `ratchet` command: gathers the commands of this package and turns every error into one message with a
hint and an exit code.

Heavy imports stand inside the commands, so that `ratchet --help` answers at once.
"""

from __future__ import annotations

import io
import os
import sys

import typer

from ratchet.cli import compare, control, machine, runs, stack, tasks
from shared.errors import RatchetError

app = typer.Typer(
    help="Make an agent better at your task by itself: harness and weights, proved before they are promoted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
for group in (runs, compare, control, tasks, machine, stack):
    group.add_to(app)


def main() -> None:
    """Entry point."""
    for stream in (sys.stdout, sys.stderr):  # a locale may lack a character that is printed
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    os.environ.setdefault("PYTHONIOENCODING", "utf-8")  # child programs whose output is read use UTF-8
    try:
        app()
    except RatchetError as error:
        typer.echo(f"ratchet: {error.message}", err=True)
        if error.hint:
            typer.echo(f"  hint: {error.hint}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        typer.echo(f"ratchet: {error}\n  hint: is the disk full, or may this user not write there?", err=True)
        sys.exit(74)


if __name__ == "__main__":
    main()
