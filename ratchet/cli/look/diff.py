"""`ratchet diff`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ratchet.cli.options import RUNS, AsJson, Root

if TYPE_CHECKING:
    from rich.console import Console

MOST_MODULES = 12  # whose norms the table shows, the largest first

Named = Annotated[str, typer.Argument(help="RUN (its live release) or RUN:GENERATION; 0: the first one.")]


def diff(first: Named, second: Named, root: Root = RUNS, as_json: AsJson = False) -> None:
    """What lies between two releases, from texts to scores. Scores are shown by instance.

    `ratchet diff mine:0 mine` says what a whole run changed."""
    from ratchet.cli.tables import console
    from ratchet.reports import diff as diffs

    found = diffs.diff(first, second, root)
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False)) if as_json else _print(console, found)


def _print(console: Console, found: dict[str, Any]) -> None:
    from rich.syntax import Syntax

    console.print(f"{found['first']['name']} and {found['second']['name']}", style="bold", markup=False)
    if not found["harness"]:
        console.print("the same harness")
    for path, text in found["harness"].items():
        console.print(path, style="bold", markup=False)
        console.print(Syntax(text, "diff", background_color="default"))
    for name, (before, after) in found["knobs"].items():
        console.print(f"knob {name}: {before} -> {after}", markup=False)
    _print_adapters(console, found["adapters"])
    _print_scores(console, found["scores"])


def _print_adapters(console: Console, norms: list[dict[str, float] | None]) -> None:
    from rich.table import Table

    if norms == [None, None]:
        console.print("no adapter on either side")
        return
    first, second = (found or {} for found in norms)
    table = Table(title="norm of each module's update (Frobenius)", title_justify="left")
    for column in ("module", "first", "second"):
        table.add_column(column, justify="left" if column == "module" else "right")
    modules = sorted(first | second, key=lambda name: -max(first.get(name, 0.0), second.get(name, 0.0)))
    for name in modules[:MOST_MODULES]:
        table.add_row(name, *(f"{side[name]:.4g}" if name in side else "-" for side in (first, second)))
    console.print(table)
    if len(modules) > MOST_MODULES:
        console.print(f"and {len(modules) - MOST_MODULES} more modules: --json has them all")


def _print_scores(console: Console, scores: dict[str, Any]) -> None:
    from rich.table import Table

    from ratchet.reports.formats import interval_text

    if not scores["instances"]:
        console.print("no instance was measured under both")
        return
    table = Table(title="scores of instances measured under both", title_justify="left")
    for column in ("instance", "first", "second", "difference"):
        table.add_column(column, justify="left" if column == "instance" else "right")
    for row in scores["instances"]:
        difference = row["second"] - row["first"]
        table.add_row(row["instance"], f"{row['first']:.3f}", f"{row['second']:.3f}", f"{difference:+.3f}")
    console.print(table)
    console.print(f"second minus first: {interval_text(scores['second_minus_first'])}", markup=False)
