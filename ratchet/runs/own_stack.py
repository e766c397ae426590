"""A run on a stack of its own: started with the run, stopped when it ends or is interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import typer

from ratchet.runs import checks
from ratchet.runs import folder as runs
from ratchet.runs.folder import RunFolder
from ratchet.runs.request import RunRequest
from ratchet.stack.local import LocalStack
from shared.config.settings import StackSettings
from shared.errors import RatchetError
from shared.ledger.migrate import settle_schema
from shared.messages.events import Message
from shared.tasks.task import Task


class InterruptedRunError(RatchetError):
    """Ctrl-C. Every accepted job is in the ledger."""

    exit_code = 130


@dataclass(frozen=True)
class OwnStack:
    """`extras`: programs beside the workers (Flower), as arguments of python."""

    extras: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def check(self, request: RunRequest, task: Task) -> None:
        checks.require_time(request.config, request.parts.job_limit_s)
        checks.require_tools(task)
        checks.require_parts(request.parts)

    def open_run(self, folder: RunFolder) -> None:
        """A ledger file of the run's own gets its tables here; a shared ledger must have them."""
        ledger = folder.open_ledger()
        settle_schema(ledger.database)
        if not ledger.create_run(folder.run_id, folder.queue_prefix):
            ledger.hand_over(folder.run_id, folder.queue_prefix)

    @contextmanager
    def attach(self, folder: RunFolder, first: Message | None) -> Iterator[_Started]:
        with runs.sole_driver(folder):
            ledger = folder.open_ledger()
            rings = ledger.submit([first]) if first is not None else []
            with LocalStack(folder.path, _settings(folder), extras=self.extras) as stack:
                stack.ring(rings)
                yield _Started(stack, ledger.outage_s)

    def interrupted(self, folder: RunFolder) -> RatchetError:
        return InterruptedRunError("interrupted", how_to_resume(folder))


@dataclass(frozen=True)
class _Started:
    stack: LocalStack
    patience_s: float  # as long as jobs wait out what is transient

    def tick(self) -> None:
        self.stack.tick()


def how_to_resume(folder: RunFolder) -> str:
    name = folder.run_id if folder.path.parent == runs.DEFAULT_ROOT.resolve() else folder.path
    return f"`ratchet resume {name}` continues from here"


def plan_flower(root: Path, port: int | None) -> dict[str, list[str]]:
    """Flower's arguments, where a port for it is given; all runs under `root` share its password."""
    if port is None:
        return {}
    from ratchet.stack.side_programs import plan_flower

    flower = plan_flower(root.resolve(), port)
    typer.echo(flower.notice, err=True)
    return {"flower": flower.arguments}


def _settings(folder: RunFolder) -> StackSettings:
    signing_key = folder.parts.signing_key or f"file:{folder.path.parent}/.keys/adapters.key"
    return StackSettings(
        **folder.parts.model_dump() | {"signing_key": signing_key},
        queue_prefix=folder.queue_prefix,
        cache_dir=folder.cache_dir,
        reconcile_s=2.0,  # cheap on one machine, and a job whose worker was killed is retried sooner
    )
