"""The commands around this machine and this installation: check it, attack its sandbox, run benchmarks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from ratchet.cli.options import AsJson, Overrides


def add_to(app: typer.Typer) -> None:
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(bench)
    for command in (attack, doctor, train):
        app.command()(command)


def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="gate, learning, sandbox, trimul, trimul_cuda, lawbench, ...")],
) -> None:
    """Run a benchmark: `ratchet bench gate --json`.

    Its own options follow its name; an unknown name is answered with all there are."""
    from ratchet.cli import bench as benchmarks

    benchmarks.run(name, context.args)


def train(
    job: Annotated[Path, typer.Argument(help="The job's JSON file; docs/weights.md has its keys.")],
) -> None:
    """Make one weight update by hand, without a run: an adapter's folder from samples or right replies."""
    argv = [sys.executable, "-m", "trainer_service.job", str(job)]  # its imports are not the command line's
    code = subprocess.run(argv).returncode
    if code:
        raise typer.Exit(code)


def attack(
    names: Annotated[list[str] | None, typer.Argument(help="Attacks by name; default all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Attack the sandbox with every known exploit and escape."""
    from ratchet.cli import attack as attacks

    if not attacks.attack(names or [], as_json):
        raise typer.Exit(1)


def doctor(
    model: Annotated[
        str | None, typer.Option(help="Check an endpoint instead: http://host:8000/v1", metavar="URL")
    ] = None,
    set_: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine layer by layer, or with --model an endpoint, with a hint for each gap.

    `--set model.name=NAME` and the other keys of [model] are as in a run."""
    from ratchet.cli import tables
    from ratchet.cli.doctor import machine as checking
    from ratchet.cli.doctor.endpoint import endpoint_checks
    from shared.config.settings import load_config, parse_override

    if model is None:
        checks = checking.checks()
    else:
        layers = [parse_override(text) for text in set_ or []]
        checks = endpoint_checks(load_config([{"model": {"url": model}}, *layers]).model)
    tables.print_checks(checks, as_json)
    if not all(check.ok for check in checks):
        raise typer.Exit(78)
