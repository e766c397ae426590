"""The arguments and options that several commands share, each with its help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunName = Annotated[str, typer.Argument(help="A run's name under --root, or its folder.", metavar="RUN")]
TaskName = Annotated[
    str, typer.Argument(help="A task's folder, or the name of one of Ratchet's own.", metavar="TASK")
]
Root = Annotated[Path, typer.Option(help="The folder that holds the runs.", file_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override one config key: --set gate.alpha=0.01. Repeatable."),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file with the sections of a run.")]
Broker = Annotated[
    str | None, typer.Option(help="redis://user@host:6379/0 to use; without it Ratchet starts its own.")
]
LedgerUrl = Annotated[
    str | None,
    typer.Option("--ledger", help="postgresql+psycopg://user@host/database to use; without it a file."),
]
StoreUrl = Annotated[
    str | None,
    typer.Option("--store", help="s3://bucket/prefix?endpoint=URL to use; without it a folder."),
]
FlowerPort = Annotated[int, typer.Option(help="Flower's port on 127.0.0.1; 0 takes a free one.")]
Levers = Annotated[
    str | None,
    typer.Option(help="both, harness, weights, or auto (both, or one while the other does not pay)."),
]
StartFrom = Annotated[
    str, typer.Option("--from", help="RUN or RUN:GENERATION: start from that release, its model kept.")
]
RUNS = Path("runs")
