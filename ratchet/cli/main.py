"""The `ratchet` command: gathers the commands of this package and turns every error into one message with a
hint and an exit code.

Heavy imports stand inside the commands, so that `ratchet --help` answers at once.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from ratchet.cli import compare, control, look, machine, runs, stack, tasks
from ratchet.program import INTERRUPTED
from shared.errors import RatchetError

app = typer.Typer(
    help="Make an agent better at your task by itself: harness and weights, proved before they are promoted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ratchet {version('ratchet-sia')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


for group in (runs, look, compare, control, tasks, machine, stack):
    group.add_to(app)


INSTALL = "./install.sh installs Ratchet with all extras, `ratchet doctor` says what is missing"


def main() -> None:
    """Entry point."""
    for stream in (sys.stdout, sys.stderr):  # a locale may lack a character that is printed
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    os.environ.setdefault("PYTHONIOENCODING", "utf-8")  # child programs whose output is read use UTF-8
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # of which typer says nothing
            typer.echo("ratchet: interrupted", err=True)
        raise
    except RatchetError as error:
        typer.echo(f"ratchet: {error.message}", err=True)
        if error.hint:
            typer.echo(f"  hint: {error.hint}", err=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        typer.echo(f"ratchet: {error.name} is not installed\n  hint: {INSTALL}", err=True)
        sys.exit(69)
    except OSError as error:
        message, hint, exit_code = os_error_text(error)
        typer.echo(f"ratchet: {message}\n  hint: {hint}", err=True)
        sys.exit(exit_code)


def os_error_text(error: OSError) -> tuple[str, str, int]:
    """(message, hint, exit code): 2 where the user gave a wrong path or port, 74 where the machine is at
    fault."""
    place = f"{error.filename}: " if error.filename else ""
    message = f"{place}{error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return message, "make room there; `ratchet resume` continues a run", 74
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return message, "this user may not do that there: another folder, or ask who owns it", 74
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return message, "a file lies where a folder is wanted: give another path", 2
    if error.errno in (errno.ENOENT, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG):
        return message, "check the path", 2
    if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
        return message, "--port 0 takes a free port, --host 127.0.0.1 this machine's own address", 2
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return message, "too many files are open at once: ulimit -n", 74
    return message, "run `ratchet doctor`", 74


if __name__ == "__main__":
    main()
