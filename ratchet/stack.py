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
from shared.celery_app import check_broker, make_app, ring
from shared.errors import RatchetError
from shared.events import BaseReady, EvaluationRequested
from shared.ledger import Ledger, Ring
from shared.routes import SERVICES
from shared.settings import StackSettings
from shared.store import materialize, open_store

WORKERS: dict[str, Sequence[str]] = {name: ["-m", f"{name}_service.worker"] for name in SERVICES}
_log = logging.getLogger(__name__)
MODEL_SERVER = "agent_service.model_server"


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
        self.ledger = Ledger(settings.ledger_url)
        self.seen = 0  # seq of the last event that was searched for a base model
        self.base: str | None = None
        self.model_known = False
        self.programs = [self.broker.program] if self.broker else []
        stack_file = folder / "stack.json"
        for name, module in workers.items():
            argv = [sys.executable, *module, "--stack", str(stack_file)]
            self.programs.append(Program(name, argv, self.logs / f"{name}.log"))

    def _addresses(self) -> dict[str, str]:
        found = {"broker_url": self.broker.url} if self.broker else {}
        if self.port_holder:
            found["model_url"] = f"http://127.0.0.1:{self.port_holder.getsockname()[1]}/v1"
        return found

    def __enter__(self) -> LocalStack:
        write_private(self.folder / "stack.json", self.settings.model_dump_json(indent=2) + "\n")
        try:
            self.tick()
            if self.broker:
                self.broker.wait()
            check_broker(self.settings.broker_url)
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
        if self.port_holder and not self.model_known:
            try:
                self._serve_base(self.port_holder.getsockname()[1])
            except RatchetError as error:
                if not error.transient:
                    raise
                _log.warning("the model server waits: %s", error)
        for program in self.programs:
            program.tend()

    def _serve_base(self, port: int) -> None:
        """Look for the base model in the log; add its server to the programs. Somebody else's needs none."""
        for logged in self.ledger.events(self.folder.name, after=self.seen):
            if isinstance(logged.event, BaseReady):
                self.base = logged.event.base
            elif isinstance(logged.event, EvaluationRequested) and logged.event.release:
                self.base = logged.event.release.base
            self.seen = logged.seq
        if self.base is None:
            return
        if not self.base.startswith("endpoint:"):
            model = materialize(open_store(self.settings.store_url), self.base, self.settings.cache_dir)
            argv = ["-m", MODEL_SERVER, "--model", str(model), "--port", str(port), "--name", "seed"]
            log = self.logs / "model_server.log"
            self.programs.append(Program("model_server", [sys.executable, *argv], log))
        self.model_known = True
