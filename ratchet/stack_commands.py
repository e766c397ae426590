"""The commands around a stack that stays: up, down, metrics. Like cli.py: arguments here, work elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ratchet.side_programs import FLOWER_PORT, METRICS_PORT

StackFolder = Annotated[Path, typer.Argument(help="The stack's folder.", metavar="STACK")]
DEFAULT = Path("stack")


def add_to(app: typer.Typer) -> None:
    for command in (up, down, metrics):
        app.command()(command)


def up(
    folder: StackFolder = DEFAULT,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file with parts of your own: broker_url, ledger_url, ...")
    ] = None,
    flower: Annotated[bool, typer.Option(help="Serve Flower as well.")] = False,
    flower_port: Annotated[
        int, typer.Option(help="Its port on 127.0.0.1; 0 takes a free one.")
    ] = FLOWER_PORT,
    metrics: Annotated[bool, typer.Option(help="Serve metrics for Prometheus as well.")] = False,
    metrics_port: Annotated[int, typer.Option(help="Their port, likewise.")] = METRICS_PORT,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Start a stack that stays: services, broker, model servers. Returns when it is healthy."""
    from ratchet import standing

    about = standing.up(folder, config, flower_port if flower else None, metrics_port if metrics else None)
    print_stack(about, as_json)


def down(folder: StackFolder = DEFAULT) -> None:
    """End a stack in order. Nothing accepted is lost: the next `up` goes on with it."""
    from ratchet import standing

    typer.echo(standing.down(folder))


def metrics(
    stack: Annotated[Path, typer.Option(help="A stack's folder, or a TOML file that names one.")] = DEFAULT,
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = METRICS_PORT,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve a stack's metrics for Prometheus, read from its ledger."""
    from ratchet import metrics_server

    metrics_server.serve(stack, host, port)


def show_stack(folder: Path, as_json: bool) -> None:
    from ratchet import standing

    print_stack(standing.describe(folder), as_json)


def print_stack(about: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(about, indent=2))
        return
    typer.echo(f"stack {about['stack']}: {about['state']}")
    for program in about.get("programs", []):
        pid = program["pid"] or "restarting"
        deaths = f", died {program['deaths']} times" if program["deaths"] else ""
        typer.echo(f"  {program['name']:<24} {pid}{deaths}")
    for name in ("flower", "metrics"):
        if url := about.get(f"{name}_url"):
            typer.echo(f"  {name:<24} {url}")
    for run, state in about["runs"].items():
        typer.echo(f"  run {run}: {state}")
    if about.get("problem"):
        typer.echo(f"  PROBLEM: {about['problem']}\n  mend: {about['mend']}")
