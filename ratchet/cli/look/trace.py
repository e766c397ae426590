"""`ratchet trace`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ratchet.cli.options import RUNS, AsJson, Root, RunName

if TYPE_CHECKING:
    from rich.console import Console


def trace(
    run_name: RunName,
    attempt: Annotated[
        str, typer.Argument(help="The beginning of an attempt's id; default: list them.")
    ] = "",
    generation: Annotated[
        int | None, typer.Option(help="Of this generation only; 0: the sealed test.")
    ] = None,
    purpose: Annotated[str, typer.Option(help="train, screen, confirm, test or eval only.")] = "",
    root: Root = RUNS,
    as_json: AsJson = False,
) -> None:
    """A run's attempts, or one whole: prompts, replies, outcomes.

    Attempts on the sealed test are shown once the run has ended."""
    from ratchet.cli.tables import console
    from ratchet.reports.trace import trace_attempt, trace_rows
    from ratchet.runs.folder import find

    folder = find(run_name, root)
    if attempt:
        found = trace_attempt(folder, attempt)
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False)) if as_json else _print_attempt(
            console, found
        )
        return
    rows = trace_rows(folder, generation, purpose)
    typer.echo(json.dumps(rows, indent=2, ensure_ascii=False)) if as_json else _print_rows(console, rows)


def _print_rows(console: Console, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table()
    for name in ("attempt", "gen", "purpose", "arm", "instance", "turns", "tried", "score", "outcome", "at"):
        table.add_column(
            name, justify="right" if name in ("gen", "turns", "tried", "score", "at") else "left"
        )
    for row in rows:
        where = row["purpose"] + (f" {row['round']}" if row["purpose"] == "confirm" else "")
        counts = (str(row["turns_taken"]), str(row["tried"]), _score(row["score"]))
        instance = str(row["instance_id"])
        ended = row["error"] or row["outcome"] or "open"
        table.add_row(
            row["attempt"], str(row["generation"]), where, row["arm"], instance, *counts, ended, _clock(row)
        )
    console.print(table)


def _print_attempt(console: Console, found: dict[str, Any]) -> None:
    def show(title: str, text: str = "") -> None:
        console.print(title, style="bold", markup=False)
        if text:
            console.print(text, markup=False, soft_wrap=True)

    where = f"generation {found['generation']}, {found['purpose']}, arm {found['arm']}, at {_clock(found)}"
    show(f"attempt {found['attempt']}", where)
    show("instance", json.dumps(found["instance"], ensure_ascii=False))
    for number, turn in enumerate(found["turns"], start=1):
        for messages in turn["prompts"]:
            for message in messages:
                show(f"turn {number}, {message['role']}", message["content"])
        for count, reply in enumerate(turn["replies"], start=1):
            why = f", {reply['finish_reason']}" if reply["finish_reason"] else ""
            show(f"turn {number}, reply {count}{why}", reply["text"])
        for candidate in turn["candidates"]:
            scored = f"{candidate.get('outcome', 'open')}, score {_score(candidate.get('score'))}"
            show(f"turn {number}, tried: {scored}", candidate["content"])
            if candidate.get("detail"):
                show("", candidate["detail"])
    if found["error"]:
        show("error", found["error"])
    if found["answer"] is not None:
        show("answer", found["answer"])
    if final := found["final"]:
        show(f"final: {final['outcome']}, score {_score(final['score'])}", final["detail"])


def _score(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"


def _clock(row: dict[str, Any]) -> str:
    """When its shard began and ended, in minutes and seconds since the run's start."""
    times = [row["began_s"], row["ended_s"]]
    return "-".join("?" if at is None else f"{int(at) // 60}:{int(at) % 60:02d}" for at in times)
