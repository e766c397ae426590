"""Starts a run or goes on with one: config, folder, ledger, local stack, live view, report.

It decides nothing about the loop: it says RunStarted and reads the event log until RunFinished.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ratchet.cli import tables
from ratchet.runs import folder as runs
from ratchet.runs import parts
from ratchet.runs.folder import RunFolder
from ratchet.tasks.task_data import bound, check_settings
from shared.config.settings import (
    RunConfig,
    StackParts,
    StackSettings,
    load_config,
    parse_override,
    read_toml,
)
from shared.errors import RatchetError, SettingsError, ToolMissingError
from shared.harness.bundle import PatchRefused, with_knobs
from shared.ledger import pausing
from shared.ledger.ledger import Ledger
from shared.ledger.migrate import settle_schema
from shared.messages.events import EvaluationRequested, Message, RunStarted
from shared.store.store import put_json, read_folder
from shared.tasks.task import Task, find_task, load_task

if TYPE_CHECKING:
    from ratchet.cli.live_view import View
    from ratchet.stack.local import LocalStack

POLL_S = 0.5
Extras = Mapping[str, Sequence[str]]  # of programs beside the stack: what python runs for each
WAIT_S = 5.0  # between two looks at what has failed and may pass
_log = logging.getLogger(__name__)


class InterruptedRunError(RatchetError):
    """Ctrl-C. What was accepted stands in the ledger."""

    exit_code = 130


class PausedRunError(RatchetError):
    """The run met what no retry mends. What was paid for is kept; nothing goes on until its user says so."""

    exit_code = 75


def resolve_config(task: str, file: Path | None, overrides: list[str], levers: str | None) -> RunConfig:
    """Task defaults, then the user's file, then --set and --levers. Raises SettingsError."""
    loaded = find_task(task)
    layers: list[dict[str, Any]] = [loaded.manifest.defaults, read_toml(file) if file else {}]
    layers += [parse_override(text) for text in overrides]
    layers = [parts.without_section(layer) for layer in layers]
    layers.append({"run": {"task": loaded.reference} | ({"levers": levers} if levers else {})})
    config = load_config(layers)
    check_settings(loaded, config)
    try:
        with_knobs(read_folder(loaded.folder / "harness"), config.harness)
    except PatchRefused as error:
        raise SettingsError(f"harness: {error.message}", "knobs are in the task's harness.toml") from None
    return config


def print_plan(config: RunConfig, as_json: bool) -> None:
    """The resolved config and what each step will cost at most."""
    from shared.decisions.plan import plan

    steps = plan(config, load_task(config.run.task))
    if as_json:
        typer.echo(
            json.dumps({"config": config.model_dump(), "steps": [vars(step) for step in steps]}, indent=2)
        )
        return
    typer.echo(json.dumps(config.model_dump(), indent=2))
    tables.print_steps(steps)


def run(
    config: RunConfig,
    root: Path,
    name: str,
    as_json: bool,
    chosen: StackParts,
    data: Path | None = None,
    flower_port: int | None = None,
) -> None:
    """`data`: what the task's own program data.py imports for this run (task_data.py)."""
    from ratchet.runs.endpoint import check_advisor, settle_levers
    from trainer_service.base.pretrained import check_source

    task = load_task(config.run.task)
    require_tools(task)
    config, lost = settle_levers(config)
    check_source(config.model.base)
    check_advisor(config.advisor)
    require_parts(chosen)
    extras = plan_extras(root, flower_port)
    with bound(task, data, root, config) as own:
        folder = runs.create(root, name, task.name, config, chosen, own)
    if lost:
        typer.echo(lost, err=True)
    if not as_json:
        from shared.decisions.plan import plan

        typer.echo(f"run {folder.run_id} in {folder.path}")
        tables.print_steps(plan(config, task))
    resume(folder, as_json, extras)


def resume(folder: RunFolder, as_json: bool, extras: Extras | None = None) -> None:
    """From wherever it is. Its supervisor may have died at any line, even before it said RunStarted."""
    if folder.stack is not None:
        from ratchet.runs import in_stack as stack_runs

        stack_runs.resume(folder, as_json)
        return
    ledger = open_run(folder)
    said = ledger.events(folder.run_id)
    if said and isinstance(said[0].event, EvaluationRequested):
        raise SettingsError(f"{folder.run_id} is an evaluation", "`ratchet eval` makes it anew")
    pausing.go_on(ledger, folder.run_id)
    if ledger.run_state(folder.run_id) == "running":
        config = folder.config()
        require_tools(load_task(config.run.task))
        digest = put_json(folder.open_store(), config)
        first = None if said else RunStarted(run_id=folder.run_id, config=digest)
        with resumable(folder):
            drive(folder, ledger, first, not as_json, extras)
    finish(folder, as_json)


def open_run(folder: RunFolder) -> Ledger:
    """Its ledger, with the run in it. A file of its own gets its tables here; a shared one must have them."""
    ledger = folder.open_ledger()
    settle_schema(ledger.database)
    if not ledger.create_run(folder.run_id, folder.queue_prefix):
        ledger.hand_over(folder.run_id, folder.queue_prefix)
    return ledger


@contextmanager
def resumable(folder: RunFolder) -> Iterator[None]:
    """Whatever stops a run in its middle says how to go on with it."""
    name = folder.run_id if folder.path.parent == runs.DEFAULT_ROOT.resolve() else folder.path
    again = f"`ratchet resume {name}` goes on from here"
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted", again) from None
    except RatchetError as error:
        error.hint = f"{error.hint}; then {again}" if error.hint else again
        raise


def drive(
    folder: RunFolder, ledger: Ledger, first: Message | None, live: bool, extras: Extras | None = None
) -> None:
    """Keep the local stack up until the run has finished. `first` starts it; None: it goes on. `extras`: what
    else runs meanwhile."""
    from ratchet.cli.live_view import View
    from ratchet.stack.local import LocalStack

    settings = stack_settings(folder)
    with runs.sole_driver(folder):
        rings = ledger.submit([first]) if first is not None else []  # before anything that may fail
        with LocalStack(folder.path, settings, extras=extras) as stack, View(folder, live) as view:
            stack.ring(rings)
            watch_over(stack, view, ledger, folder.run_id)
    refuse_paused(folder, ledger)


def refuse_paused(folder: RunFolder, ledger: Ledger) -> None:
    """Raises PausedRunError if the run waits for its user."""
    if why := pausing.paused_why(ledger, folder.run_id):
        raise PausedRunError(f"run {folder.run_id} is paused: {why}")


def plan_extras(root: Path, flower_port: int | None) -> dict[str, list[str]]:
    """Flower, where it is wanted; its password is one for all runs in this folder. Raises SettingsError."""
    if flower_port is None:
        return {}
    from ratchet.stack.side_programs import plan_flower

    flower = plan_flower(root.resolve(), flower_port)
    typer.echo(flower.told, err=True)
    return {"flower": flower.arguments}


def watch_over(stack: LocalStack, view: View, ledger: Ledger, run_id: str) -> None:
    """Until the run has finished. What passes (a full disk) is waited out as long as jobs wait it out."""
    well_at_s = time.monotonic()
    while True:
        try:
            if ledger.run_state(run_id) != "running":
                break
            stack.tick()
            view.refresh()
            well_at_s = time.monotonic()
        except RatchetError as error:
            if not error.transient or time.monotonic() - well_at_s > ledger.outage_s:
                raise
            _log.warning("the run waits: %s", error)
            time.sleep(WAIT_S)
        time.sleep(POLL_S)
    view.refresh()


def stack_settings(folder: RunFolder) -> StackSettings:
    """A local stack's settings: workers for this run alone, on the parts that it uses."""
    return StackSettings(
        **folder.parts.model_dump(),
        queue_prefix=folder.queue_prefix,
        cache_dir=folder.path.parent / ".cache",
        reconcile_s=2.0,  # cheap on one machine, and a job whose worker was killed goes on sooner
    )


def require_parts(chosen: StackParts) -> None:
    """Refuse early what would refuse late: a ledger, store or broker of somebody's that can't be used."""
    if chosen == StackParts():
        return
    from shared.bus.start_checks import check_parts

    for warning in check_parts(chosen):
        typer.echo(f"warning: {warning}", err=True)


def require_tools(task: Task) -> None:
    """Refuse early what would refuse late. Raises ToolMissingError (no compiler), BoxNotWholeError."""
    from shared.box.open import open_box

    if task.manifest.toolchain == "c" and shutil.which("gcc") is None:
        raise ToolMissingError(
            f"task {task.name!r} compiles C, and gcc is not installed", "apt-get install gcc"
        )
    if task.manifest.toolchain == "cuda":
        from sandbox_service.toolchains.cuda.compiler import find_nvcc

        if find_nvcc() is None:
            raise ToolMissingError(
                f"task {task.name!r} compiles CUDA, and nvcc is not installed", "install the CUDA toolkit"
            )
        if absent := absent_device():
            typer.echo(
                f"no device ({absent}): candidates compile and are checked on the CPU; they end as "
                "not_timed, which is never a score. On a machine with a GPU and pycuda the same run times "
                "and scores them.",
                err=True,
            )
    open_box()


def absent_device() -> str:
    """Why nothing can be timed on a GPU here; empty where it can."""
    from sandbox_service.toolchains.cuda.process import CudaKernel, NoDeviceError

    try:
        with CudaKernel():
            return ""
    except NoDeviceError as error:
        return str(error)


def finish(folder: RunFolder, as_json: bool) -> None:
    """The result table (or JSON), the report, and a non-zero exit where the run failed."""
    from ratchet.reports import report as reporting
    from ratchet.reports.show import show_run

    shown = show_run(folder)
    report = reporting.write(folder)
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
    else:
        tables.print_run(shown)
        typer.echo(f"report: {report}")
    if shown["state"] == "failed":
        raise RatchetError(
            f"run {folder.run_id} failed: {shown.get('why', '')}", f"logs are in {folder.logs}"
        )


def load_instances(path: Path) -> list[dict[str, Any]]:
    """JSON lines, one object each. Raises SettingsError with the line's number."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"can't read the instances in {path}: {error}", "UTF-8 JSON lines") from None
    instances = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            instance = json.loads(line)
        except json.JSONDecodeError as error:
            raise SettingsError(f"{path}, line {number} is not JSON: {error.msg}") from None
        if not isinstance(instance, dict):
            raise SettingsError(f"{path}, line {number} is no JSON object")
        instances.append({"id": f"{path.stem}-{number}"} | instance)
    if not instances:
        raise SettingsError(f"{path} holds no instance", "write one JSON object a line")
    return instances
