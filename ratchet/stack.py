"""The local stack: broker, four workers and, once there is a base model, its server; `tick` keeps them up.

It knows nothing of the loop. What it starts dies with it; what was accepted stands in the ledger.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from ratchet.broker import Broker, reserve_port, write_private
from ratchet.processes import Program, stop_all
from ratchet.served_model import ModelWatch
from shared.celery_app import make_app, ring
from shared.errors import RatchetError
from shared.ledger import Ring
from shared.routes import SERVICES
from shared.settings import StackSettings
from shared.start_checks import check_broker

WORKERS: dict[str, Sequence[str]] = {name: ["-m", f"{name}_service.worker"] for name in SERVICES}
MODEL_SERVER = ["-m", "agent_service.model_server"]
_log = logging.getLogger(__name__)


class LocalStack:
    """Context manager. Without a broker_url: an own Valkey; without a model_url: an own model server.
    `folder` is the run's, and named as it. `workers`: what python runs for each service."""

    def __init__(
        self, folder: Path, settings: StackSettings, workers: Mapping[str, Sequence[str]] = WORKERS
    ) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.broker = None if settings.broker_url else Broker(folder / "broker", self.logs / "broker.log")
        self.port_holder = None if settings.model_url else reserve_port()
        self.settings = settings.model_copy(update=self._addresses())
        self.model = ModelWatch(self.settings, folder.name)
        self.programs = [self.broker.program] if self.broker else []
        for name, module in workers.items():
            self._add(name, [*module, "--stack", str(folder / "stack.json")])

    def _addresses(self) -> dict[str, str]:
        found = dict(self.broker.settings) if self.broker else {}
        if self.port_holder:
            found["model_url"] = f"http://127.0.0.1:{self.port_holder.getsockname()[1]}/v1"
        return found

    def __enter__(self) -> LocalStack:
        write_private(self.folder / "stack.json", self.settings.model_dump_json(indent=2) + "\n")
        try:
            if self.broker is None:
                check_broker(self.settings)
            self.tick()
            if self.broker:
                self.broker.wait()
        except BaseException:
            stop_all(self.programs)
            raise
        self.app = make_app(self.settings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        stop_all(self.programs[1:] if self.broker else self.programs)
        stop_all(self.programs)  # the broker last: the others say good-bye to it
        for holder in (self.port_holder, self.broker.holder if self.broker else None):
            if holder:
                holder.close()

    def ring(self, rings: Sequence[Ring]) -> None:
        ring(self.app, rings)

    def tick(self) -> None:
        """Restart what died, start the model server once there is a base. Call it about twice a second.
        Raises RatchetError when something can't be kept alive."""
        if self.port_holder and not self.model.settled:
            self._look_for_model(self.port_holder.getsockname()[1])
        for program in self.programs:
            program.tend()

    def _look_for_model(self, port: int) -> None:
        try:
            found = self.model.look()
        except RatchetError as error:
            if not error.transient:
                raise
            _log.warning("the model server waits: %s", error)
            return
        if found:
            arguments = ["--model", str(found.folder), "--port", str(port), "--name", found.name]
            arguments += ["--replies", str(self.logs.parent / "replies.sqlite")]
            self._add("model_server", [*MODEL_SERVER, *arguments])

    def _add(self, name: str, arguments: Sequence[str]) -> None:
        self.programs.append(Program(name, [sys.executable, *arguments], self.logs / f"{name}.log"))
