"""The commands around this machine and this installation: check it, attack its sandbox, run benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from ratchet.cli.options import AsJson, Overrides

OF_THE_BENCHMARK = {"allow_extra_args": True, "ignore_unknown_options": True}  # --help too


def add_to(app: typer.Typer) -> None:
    app.command(add_help_option=False, context_settings=OF_THE_BENCHMARK)(bench)
    for command in (attack, chaos, doctor, soak, train):
        app.command()(command)


def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Without one, all are listed.", show_default=False)] = "",
) -> None:
    """Run a benchmark: `ratchet bench gate --json`. `ratchet bench gate --help` has its options."""
    from ratchet.cli import bench as benchmarks

    if name in ("", "-h", "--help"):
        print(context.get_help(), "\n\nBenchmarks:")
        for each, what in benchmarks.listing().items():
            print(f"  {each:12} {what}")
    else:
        benchmarks.run(name, context.args)


def train(
    job: Annotated[Path, typer.Argument(help="The job's JSON file; docs/weights.md has its keys.")],
) -> None:
    """Make one weight update by hand, without a run. It writes an adapter's folder."""
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


def chaos(
    jobs: Annotated[int, typer.Option(help="Of the random part; 0 leaves it out.", min=0)] = 10_000,
    faults: Annotated[int, typer.Option(help="Random faults, spread over its jobs.", min=0)] = 1_000,
    quick: Annotated[bool, typer.Option("--quick", help="400 jobs and 40 faults: some minutes.")] = False,
    rows: Annotated[bool, typer.Option(help="The rows of the fault matrix.")] = True,
    only: Annotated[
        list[str] | None, typer.Option(help="Rows whose fault contains this word: F5, broker. Repeatable.")
    ] = None,
    database: Annotated[
        str, typer.Option(help="sqlite, postgresql (a private one), or auto: that, where it is installed.")
    ] = "auto",
    seed: Annotated[int | None, typer.Option(help="Of the random part; it is printed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Break a stack under real jobs: is one lost, or done twice?

    Workers, broker, database and network of a stack of its own, in a temporary folder. The exit code is 1
    where a row fails, or where the control, with the reconciler switched off, loses nothing."""
    from ratchet.chaos import command
    from ratchet.chaos.report import table

    if quick:
        jobs, faults = min(jobs, 400), min(faults, 40)
    report = command.chaos(command.Wish(jobs, faults, database, seed, tuple(only or ()), rows))
    print(json.dumps(report, indent=2) if as_json else table(report))
    if not report["ok"]:
        raise typer.Exit(1)


def soak(
    hours: Annotated[float, typer.Option(help="How long; a fraction is fine.", min=0.001)] = 1.0,
    rate: Annotated[float, typer.Option(help="Jobs a second.", min=0.1)] = 20.0,
    database: Annotated[str, typer.Option(help="sqlite, or postgresql (a private one).")] = "sqlite",
    as_json: AsJson = False,
) -> None:
    """Work for hours, and tell whether anything grows. Memory, descriptors, disk, rows, the broker's memory.

    A stack of its own, in a temporary folder. The exit code is 1 where something grows."""
    from ratchet.soak import command
    from ratchet.soak.report import table

    report = command.soak(command.Wish(hours, database, rate))
    print(json.dumps(report, indent=2) if as_json else table(report))
    if not report["ok"]:
        raise typer.Exit(1)


def doctor(
    model: Annotated[
        str | None, typer.Option(help="Check an endpoint instead: http://host:8000/v1", metavar="URL")
    ] = None,
    set_: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine, or with --model an endpoint. Each layer has a hint for what is missing.

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
