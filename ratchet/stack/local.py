"""The local stack: broker, four workers and a server for each base model in use; `tick` keeps them up.

It has no part in the loop. Its programs end with this process; accepted jobs stay in the ledger.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from ratchet.stack.broker import Broker, write_private
from ratchet.stack.model_servers import ModelServers
from ratchet.stack.processes import TERM_S, Program, stop_all
from ratchet.stack.served_model import ModelWatch
from ratchet.stack.state import SETTINGS
from shared import logs
from shared.bus.start_checks import check_broker
from shared.config.settings import StackSettings
from shared.ledger.ledger import Ring
from shared.messages.routes import SERVICES

WORKERS: dict[str, Sequence[str]] = {name: ["-m", f"{name}_service.worker"] for name in SERVICES}


class LocalStack:
    """Context manager. Without a broker_url: an own Valkey; without a model_url: own model servers.
    `workers`: what python runs for each service; `extras`: for what a stack may be without (Flower);
    `patience_s`: how long a worker may take to end its job when the stack ends."""

    def __init__(
        self,
        folder: Path,
        settings: StackSettings,
        workers: Mapping[str, Sequence[str]] = WORKERS,
        extras: Mapping[str, Sequence[str]] | None = None,
        patience_s: float = TERM_S,
    ) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.patience_s = patience_s
        self.broker = None if settings.broker_url else Broker(folder / "broker", self.logs / "broker.log")
        self.settings = settings.model_copy(update=self._addresses(settings))
        models_dir = self.settings.models_dir
        self.models = self._model_servers(models_dir) if models_dir else None
        self.workers = [self._program(name, arguments) for name, arguments in workers.items()]
        for name, arguments in (extras or {}).items():
            self.workers.append(self._program(name, arguments, vital=False))

    def _model_servers(self, folder: Path) -> ModelServers:
        adapters = self.settings.cache_dir.resolve() / "adapters"  # where the agent unpacks them
        watch, kind = ModelWatch(self.settings), self.settings.log_format
        return ModelServers(watch, folder, self.logs, adapters, log_format=kind)

    def _addresses(self, settings: StackSettings) -> dict[str, str | Path]:
        found: dict[str, str | Path] = {**self.broker.settings} if self.broker else {}
        if not settings.model_url:
            found["models_dir"] = self.folder / "models"
        return found

    @property
    def programs(self) -> list[Program]:
        """Every program that should run now."""
        broker = [self.broker.program] if self.broker else []
        return [*broker, *self.workers, *(self.models.programs if self.models else [])]

    def __enter__(self) -> LocalStack:
        write_private(self.folder / SETTINGS, self.settings.model_dump_json(indent=2) + "\n")
        try:
            if self.broker is None:
                check_broker(self.settings)
            self.tick()
            if self.broker:
                self.broker.wait()
        except BaseException:
            self._stop()
            raise
        from shared.bus.celery_app import make_app

        self.app = make_app(self.settings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        stop_all(self.workers, self.patience_s)
        if self.models:  # after the workers, which may still wait for a reply
            self.models.close()
        if self.broker:  # after its clients
            stop_all([self.broker.program])
            self.broker.holder.close()

    def ring(self, rings: Sequence[Ring]) -> None:
        from shared.bus.celery_app import ring

        ring(self.app, rings)

    def tick(self) -> None:
        """Restart what died, start and end model servers, rotate logs. Call it about twice a second.
        Raises RatchetError when something can't be kept alive."""
        for log in self.logs.glob("*.log"):
            with suppress(OSError):  # a full disk: the next time
                logs.rotate(log, self.settings.log_mb * 1e6)
        if self.broker:
            self.broker.program.keep_running()
        for program in self.workers:
            program.keep_running()
        if self.models:
            self.models.keep_running()

    def _program(self, name: str, arguments: Sequence[str], vital: bool = True) -> Program:
        argv = [sys.executable, *arguments, "--stack", str(self.folder / SETTINGS)]
        return Program(name, argv, self.logs / f"{name}.log", vital)
