"""The commands around a standing stack, here or on a cluster. The work is in ratchet/stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ratchet.stack.side_programs import FLOWER_PORT, METRICS_PORT
from shared.errors import SettingsError

StackFolder = Annotated[Path, typer.Argument(help="The stack's folder.", metavar="STACK")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DEFAULT = Path("stack")


def add_to(app: typer.Typer) -> None:
    for command in (up, down, metrics, migrate, deploy):
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
    as_json: AsJson = False,
) -> None:
    """Start a standing stack: services, broker, model servers.

    Returns when it is healthy."""
    from ratchet.stack import up_down

    about = up_down.up(folder, config, flower_port if flower else None, metrics_port if metrics else None)
    print_stack(about, as_json)


def down(folder: StackFolder = DEFAULT) -> None:
    """Stop a standing stack in order.

    Nothing accepted is lost: the next `up` continues it."""
    from ratchet.stack import up_down

    typer.echo(up_down.down(folder))


def metrics(
    stack: Annotated[Path, typer.Option(help="A stack's folder, or a TOML file that names one.")] = DEFAULT,
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = METRICS_PORT,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve a stack's metrics for Prometheus from its ledger."""
    from ratchet.monitoring import metrics_server

    metrics_server.serve(stack, host, port)


def migrate(
    ledger: Annotated[str, typer.Option(help="postgresql+psycopg://user@host/database, or sqlite:////path.")],
    dry_run: Annotated[bool, typer.Option(help="Print what it would apply, and change nothing.")] = False,
) -> None:
    """Bring a ledger's tables up to date.

    Once, before workers of a new version start."""
    from ratchet.cli import migrate as migration

    typer.echo("\n".join(migration.migrate(ledger, dry_run)))


def deploy(
    overlay: Annotated[list[str] | None, typer.Argument(help="Overlays under k8s/, or folders.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Validate the manifests, offline.")] = False,
    secrets: Annotated[bool, typer.Option("--secrets", help="Print new Secrets, for kubectl apply.")] = False,
    compose: Annotated[bool, typer.Option("--compose", help="... as a .env file for compose.yaml.")] = False,
    as_json: AsJson = False,
) -> None:
    """Kubernetes: check the manifests, or make their Secrets."""
    from ratchet.deploy import checking
    from ratchet.deploy import secrets as deploy_secrets

    if check == secrets:
        raise SettingsError(
            "choose one of the two actions", "ratchet deploy --check, or ratchet deploy --secrets"
        )
    if secrets:
        documents = "\n---\n".join(json.dumps(document, indent=2) for document in deploy_secrets.make())
        typer.echo(deploy_secrets.make_env() if compose else documents)
    elif not checking.run(overlay or [], as_json):
        raise typer.Exit(2)


def show_stack(folder: Path, as_json: bool) -> None:
    from ratchet.stack import up_down

    print_stack(up_down.describe(folder), as_json)


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
        typer.echo(f"  PROBLEM: {about['problem']}\n  hint: {about['hint']}")
