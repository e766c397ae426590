"""The `ratchet` command: parses arguments, imports the module that does the work, ends with its exit code.

Every import of weight stands inside a command, so that `ratchet --help` answers at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ratchet.cli import stack as stack_commands
from ratchet.stack.side_programs import FLOWER_PORT
from shared.errors import RatchetError, SettingsError

app = typer.Typer(
    help="Make an agent better at your task by itself: harness and weights, proved before they are promoted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

RunName = Annotated[str, typer.Argument(help="A run's name under --root, or its folder.", metavar="RUN")]
TaskName = Annotated[
    str, typer.Argument(help="A task's folder, or the name of one of Ratchet's own.", metavar="TASK")
]
Root = Annotated[Path, typer.Option(help="The folder that holds the runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override one config key: --set gate.alpha=0.01. Repeatable."),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file with the sections of a run.")]
Broker = Annotated[
    str | None, typer.Option(help="redis://user@host:6379/0 to use; without one Ratchet starts its own.")
]
LedgerUrl = Annotated[
    str | None,
    typer.Option("--ledger", help="postgresql+psycopg://user@host/database to use; without one a file."),
]
StoreUrl = Annotated[
    str | None,
    typer.Option("--store", help="s3://bucket/prefix?endpoint=URL to use; without one a folder."),
]
FlowerPort = Annotated[int, typer.Option(help="Flower's port on 127.0.0.1; 0 takes a free one.")]
Levers = Annotated[str | None, typer.Option(help="both, harness or weights: which levers the run may pull.")]


@app.command()
def run(
    task: TaskName,
    config: ConfigFile = None,
    set_: Overrides = None,
    levers: Levers = None,
    name: Annotated[str, typer.Option(help="The run's name; default TASK-NUMBER.")] = "",
    root: Root = Path("runs"),
    ledger: LedgerUrl = None,
    store: StoreUrl = None,
    broker: Broker = None,
    stack: Annotated[
        Path | None, typer.Option(help="A stack that is up (`ratchet up`), or a TOML file that names one.")
    ] = None,
    detach: Annotated[bool, typer.Option(help="With --stack: submit the run and leave.")] = False,
    flower: Annotated[bool, typer.Option(help="Serve Flower while the run goes on.")] = False,
    flower_port: FlowerPort = FLOWER_PORT,
    data: Annotated[
        Path | None, typer.Option(help="Your data for this task, which its data.py imports and checks.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option(help="Print the resolved config and what each step costs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Improve the agent on a task until it converges: `ratchet run trimul`."""
    from ratchet.runs import parts
    from ratchet.runs import start as running

    resolved = running.resolve_config(task, config, set_ or [], levers)
    chosen = parts.resolve(config, set_ or [], ledger_url=ledger, store_url=store, broker_url=broker)
    if dry_run:
        running.print_plan(resolved, as_json)
        return
    if stack is not None:
        from ratchet.runs import in_stack as stack_runs

        stack_runs.run(resolved, root, name, stack, chosen, as_json, detach, data)
        return
    running.run(resolved, root, name, as_json, chosen, data, flower_port if flower else None)


@app.command()
def data(
    task: TaskName,
    source: Annotated[Path, typer.Option("--from", help="A file or folder in a format that the task reads.")],
    out: Annotated[Path, typer.Option(help="The folder of the task with its data, which must not exist.")],
    set_: Overrides = None,
) -> None:
    """Import and check data for a task, into a task folder of its own: `ratchet run` takes it by its path."""
    from ratchet.runs import start as running
    from ratchet.tasks import task_data
    from shared.tasks.task import find_task

    config = running.resolve_config(task, None, set_ or [], None)
    made = task_data.create(find_task(task), source, out, config)
    typer.echo(json.dumps(made, indent=2, ensure_ascii=False))


@app.command()
def resume(
    run_name: RunName,
    root: Root = Path("runs"),
    ledger: LedgerUrl = None,
    store: StoreUrl = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a run whose supervisor died; nothing is done twice. A URL says where a part has moved."""
    from ratchet.runs import folder as runs
    from ratchet.runs import start as running

    folder = runs.find(run_name, root)
    folder.move_parts(ledger_url=ledger, store_url=store, broker_url=broker)
    running.resume(folder, as_json)


@app.command()
def stop(run_name: RunName, root: Root = Path("runs")) -> None:
    """Ask a run to end after the present generation's decision, with its final test."""
    from ratchet.runs import folder as runs

    folder = runs.find(run_name, root)
    folder.open_ledger().request_stop(folder.run_id)
    typer.echo(f"{folder.run_id} will stop after the present generation and then run its final test")


@app.command()
def watch(run_name: RunName, root: Root = Path("runs")) -> None:
    """Follow a run live, from this or another terminal."""
    from ratchet.cli import live_view as watching
    from ratchet.runs import folder as runs

    watching.follow(runs.find(run_name, root))


@app.command()
def show(run_name: RunName, root: Root = Path("runs"), as_json: AsJson = False) -> None:
    """What a run did: proposals, four arms, decisions, costs, the final test. Or how a stack is."""
    from ratchet.cli import tables
    from ratchet.reports.show import show_run
    from ratchet.runs import folder as runs
    from ratchet.stack import state as stacks

    if stacks.is_stack(Path(run_name)):
        stack_commands.show_stack(Path(run_name), as_json)
        return
    shown = show_run(runs.find(run_name, root))
    typer.echo(json.dumps(shown, indent=2)) if as_json else tables.print_run(shown)


@app.command(name="eval")
def evaluate(
    task: TaskName,
    release: Annotated[str, typer.Option(help="RUN, RUN:GENERATION, or seed.")],
    instances: Annotated[
        Path, typer.Option(help="JSON lines, one instance each; or what the task's data.py reads.")
    ],
    set_: Overrides = None,
    root: Root = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Score any release on your own instances, with the baseline measured in the same run."""
    from ratchet.cli import tables
    from ratchet.runs import evaluate as evaluation

    result = evaluation.evaluate(task, release, instances, set_ or [], root)
    typer.echo(json.dumps(result, indent=2)) if as_json else tables.print_evaluation(result)


@app.command()
def report(run_name: RunName, root: Root = Path("runs")) -> None:
    """Write the report of a run, with pictures, into its report/ folder."""
    from ratchet.reports import report as reporting
    from ratchet.runs import folder as runs

    typer.echo(reporting.write(runs.find(run_name, root)))


@app.command()
def export(
    run_name: RunName,
    out: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    root: Root = Path("runs"),
) -> None:
    """Take the winner out: adapter (PEFT layout), harness, and the best program found."""
    from ratchet.runs import export as exporting
    from ratchet.runs import folder as runs

    typer.echo("\n".join(exporting.export(runs.find(run_name, root), out)))


@app.command()
def init(
    folder: Annotated[Path | None, typer.Argument(help="The new task's folder.")] = None,
    from_kernelbot: Annotated[
        Path | None, typer.Option(help="A folder with a task.yml to make a skeleton from.", metavar="DIR")
    ] = None,
) -> None:
    """Make a new task that works: then change its verifier to your own problem."""
    from ratchet.tasks import from_kernelbot as kernelbot
    from ratchet.tasks import new_task

    if from_kernelbot is not None:
        typer.echo("\n".join(kernelbot.create(from_kernelbot, folder)))
    elif folder is None:
        raise SettingsError("no folder given", "ratchet init FOLDER, or --from-kernelbot DIR [FOLDER]")
    else:
        typer.echo("\n".join(new_task.create(folder)))


@app.command()
def validate(task: TaskName, as_json: AsJson = False) -> None:
    """Try a task folder part by part: manifest, splits, harness, one boxed step, the verifier."""
    from ratchet.cli import tables
    from ratchet.tasks import validate as validating

    checks = validating.validate(task)
    tables.print_checks(checks, as_json)
    if not all(check.ok for check in checks):
        raise typer.Exit(2)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="gate, learning, sandbox, trimul, trimul_cuda, lawbench, ...")],
) -> None:
    """Run a benchmark: `ratchet bench gate --json`. Its own options follow its name; an unknown name is
    answered with all there are."""
    from ratchet.cli import bench as benching

    benching.run(name, context.args)


@app.command()
def attack(
    names: Annotated[list[str] | None, typer.Argument(help="Attacks by name; default all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Attack the sandbox with the corpus of known exploits and escapes, and say what stopped each."""
    from ratchet.cli import attack as attacking

    if not attacking.attack(names or [], as_json):
        raise typer.Exit(1)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this machine layer by layer, and say how to fix what is missing."""
    from ratchet.cli import doctor as checking
    from ratchet.cli import tables

    checks = checking.checks()
    tables.print_checks(checks, as_json)
    if not all(check.ok for check in checks):
        raise typer.Exit(78)


stack_commands.add_to(app)


def main() -> None:
    """Entry point. Every mistake ends in one message that gives a hint, and a non-zero exit code."""
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
