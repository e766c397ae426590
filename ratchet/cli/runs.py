"""The commands around a run: start, resume, follow, show and evaluate. The work is in ratchet/runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratchet.cli.options import (
    RUNS,
    AsJson,
    Broker,
    ConfigFile,
    FlowerPort,
    LedgerUrl,
    Levers,
    Overrides,
    Root,
    RunName,
    StartFrom,
    StoreUrl,
    TaskName,
)
from ratchet.stack.side_programs import FLOWER_PORT

if TYPE_CHECKING:
    from ratchet.runs.folder import RunFolder
    from ratchet.runs.follow import Stack


def add_to(app: typer.Typer) -> None:
    for command in (
        run,
        resume,
        watch,
        show,
        list_runs,
        ui,
        serve,
        report,
    ):
        app.command(name="ls" if command is list_runs else None)(command)
    app.command(name="eval")(evaluate)


def run(
    task: TaskName,
    config: ConfigFile = None,
    set_: Overrides = None,
    levers: Levers = None,
    name: Annotated[str, typer.Option(help="The run's name; default TASK-NUMBER.")] = "",
    root: Root = RUNS,
    ledger: LedgerUrl = None,
    store: StoreUrl = None,
    broker: Broker = None,
    stack: Annotated[
        Path | None, typer.Option(help="A standing stack (`ratchet up`), or a TOML file that names one.")
    ] = None,
    from_: StartFrom = "",
    detach: Annotated[bool, typer.Option(help="With --stack: submit the run and leave.")] = False,
    flower: Annotated[bool, typer.Option(help="Serve Flower while the run lasts.")] = False,
    flower_port: FlowerPort = FLOWER_PORT,
    data: Annotated[
        Path | None, typer.Option(help="Your data for this task, which its data.py imports and checks.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option(help="Print the resolved config and what each step costs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Improve the agent on a task until it converges."""
    from ratchet.api.run import Run
    from ratchet.cli.tables import print_plan
    from ratchet.runs.control.starting_from import find_origin, settings_of
    from ratchet.runs.request import make_request
    from shared.tasks.task import find_task

    origin = find_origin(from_, root, find_task(task))
    request = make_request(
        task,
        file=config,
        overrides=set_ or [],
        levers=levers,
        inherited=settings_of(origin),
        parts_flags={"ledger_url": ledger, "store_url": store, "broker_url": broker},
        root=root,
        name=name,
        data=data,
        stack=stack,
        flower_port=flower_port if flower else None,
        origin=origin,
    )
    if dry_run:
        print_plan(request.config, root, as_json)
        return
    created, place = Run.create(request)
    folder = created.folder
    typer.echo(f"run {folder.run_id} in {folder.stack or folder.path}", err=as_json)
    if detach and stack is not None:
        created.submit(place)
        return
    if not as_json:
        print_plan(folder.config(), root, as_json=False, with_config=False, run=folder.run_id)
    drive_to_end(folder, place, as_json)


def resume(
    run_name: RunName,
    root: Root = RUNS,
    ledger: LedgerUrl = None,
    store: StoreUrl = None,
    broker: Broker = None,
    model_url: Annotated[
        str | None, typer.Option(help="Where the run's endpoint answers now, if it has moved.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Continue an interrupted, paused or failed run. Nothing is done twice. A URL moves a part."""
    from ratchet.runs import folder as runs
    from ratchet.runs import start

    folder = runs.find(run_name, root)
    if model_url:
        from ratchet.runs.endpoint import move

        move(folder, model_url)
    folder.move_parts(ledger_url=ledger, store_url=store, broker_url=broker)
    drive_to_end(folder, start.stack_of(folder), as_json)


def watch(run_name: RunName, root: Root = RUNS) -> None:
    """Follow a run live, from this or another terminal."""
    from ratchet.cli.live_view import View
    from ratchet.runs import folder as runs
    from ratchet.runs import start

    folder = runs.find(run_name, root)
    with View(folder, live=True) as view:
        start.watch(folder, view.refresh, view.note)


def show(run_name: RunName, root: Root = RUNS, as_json: AsJson = False) -> None:
    """What a run did: proposals, decisions, costs, final test."""
    from ratchet.cli import stack as stack_commands
    from ratchet.cli import tables
    from ratchet.reports.show import show_run
    from ratchet.runs import folder as runs
    from ratchet.stack import state as stack_state

    if stack_state.is_stack(Path(run_name)):
        stack_commands.show_stack(Path(run_name), as_json)
        return
    shown = show_run(runs.find(run_name, root))
    typer.echo(json.dumps(shown, indent=2)) if as_json else tables.print_run(shown)


def list_runs(root: Root = RUNS, as_json: AsJson = False) -> None:
    """The runs under --root, a line each."""
    from ratchet.cli import tables
    from ratchet.ui.pages import run_row
    from ratchet.ui.runs import Runs

    runs = Runs(root)
    rows = [run_row(runs.view(name)) for name in runs.names()]
    typer.echo(json.dumps(rows, indent=2)) if as_json else tables.print_runs(rows)


def serve(
    release: Annotated[str, typer.Argument(help="RUN, or RUN:GENERATION.", metavar="RELEASE")],
    root: Root = RUNS,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8700,
    follow: Annotated[bool, typer.Option(help="Switch to each release that the run promotes.")] = False,
) -> None:
    """Answer the OpenAI chat API with a release, whole."""
    from ratchet.serving import serve as serving

    serving.serve(release, root, host, port, follow)


def ui(
    root: Root = RUNS,
    host: Annotated[str, typer.Option(help="Another address than the loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8600,
) -> None:
    """Serve the console: every run in a browser, read-only."""
    from ratchet.ui.serve import serve

    serve(root, host, port)


def evaluate(
    task: TaskName,
    release: Annotated[str, typer.Option(help="RUN, RUN:GENERATION, or seed.")],
    instances: Annotated[
        Path, typer.Option(help="JSON lines, one instance each; or what the task's data.py reads.")
    ],
    set_: Overrides = None,
    root: Root = RUNS,
    as_json: AsJson = False,
) -> None:
    """Score a release on your instances, beside baselines."""
    from ratchet.api.evaluation import Evaluation
    from ratchet.cli import tables
    from ratchet.runs import evaluate as evaluation

    result = evaluation.evaluate(task, release, instances, set_ or [], root)
    typer.echo(json.dumps(result, indent=2)) if as_json else tables.print_evaluation(result)
    Evaluation(result).require_all()


def report(run_name: RunName, root: Root = RUNS) -> None:
    """Write a run's report, with pictures, into RUN/report."""
    from ratchet.reports import report as reports
    from ratchet.runs import folder as runs

    typer.echo(reports.write(runs.find(run_name, root)))


def drive_to_end(folder: RunFolder, place: Stack, as_json: bool) -> None:
    """Follow the run to its end; then its result and report, and an error where the run failed."""
    from ratchet.api.run import Run
    from ratchet.cli import tables
    from ratchet.cli.live_view import View

    run = Run(folder)
    with View(folder, live=not as_json) as view:
        run.drive(place, view)
    shown, path = run.show(), run.report()
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
    else:
        tables.print_run(shown)
        typer.echo(f"report: {path}")
    run.require_success()
