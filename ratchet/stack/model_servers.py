"""The local stack's model servers: one for each base model that a running run needs, started and ended with
that need. Where they listen is announced to the agent; a server that is restarted keeps its port.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ratchet.stack.broker import reserve_port, write_private
from ratchet.stack.processes import Program, stop_all
from ratchet.stack.served_model import NeededModel
from shared.errors import RatchetError, SettingsError
from shared.model import served as served_models
from shared.model.served import ServedModel

MODEL_SERVER = ["-m", "agent_service.model_server"]
MOST_ADAPTERS = 32  # of several runs together; a run's own are at most four
UNLOAD_S = 5.0
KEPT_S = 60.0
_log = logging.getLogger(__name__)


@dataclass
class _Server:
    program: Program
    port_holder: socket.socket
    needed_at_s: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port_holder.getsockname()[1]}/v1"


class Needs(Protocol):
    """Which base models are needed now."""

    @property
    def runs(self) -> set[str]:
        """The runs that need them."""
        ...

    def needed(self) -> tuple[dict[str, NeededModel], RatchetError | None]:
        """By the digest of the base; and the first error that no retry removes."""
        ...

    def fail(self, base: str, reason: str) -> None:
        """That base can't be served, and no retry changes that."""
        ...


class ModelServers:
    """`folder` is StackSettings.models_dir; adapters lie in `adapters`; `kept_s`: how long a server waits for
    another run on its base. Call `keep_running` about twice a second, and `close` at the end."""

    def __init__(
        self,
        watch: Needs,
        folder: Path,
        logs: Path,
        adapters: Path,
        kept_s: float = KEPT_S,
        log_format: str = "text",
    ) -> None:
        self.watch = watch
        self.folder = folder
        self.logs = logs
        self.kept_s = kept_s
        self.adapters = adapters
        self.log_format = log_format
        self._servers: dict[str, _Server] = {}
        self._key_file = logs.parent / "model_server.key"
        write_private(self._key_file, secrets.token_urlsafe(32))

    @property
    def programs(self) -> list[Program]:
        return [server.program for server in self._servers.values()]

    def keep_running(self) -> None:
        """Raises RatchetError when a model can't be served; the others are."""
        before = self.watch.runs
        needed, trouble = self.watch.needed()
        for run in before - self.watch.runs:
            for server in self._servers.values():
                self._unload_adapters_of(run, server.url)
        for base, model in needed.items():
            if base not in self._servers:
                self._servers[base] = self._start(base, model)
            self._servers[base].needed_at_s = time.monotonic()
        self._fail_refused()
        for base, server in list(self._servers.items()):
            if time.monotonic() - server.needed_at_s > self.kept_s:
                self._end(base)
        for program in self.programs:
            try:
                program.keep_running()
            except RatchetError as error:
                trouble = trouble or error
        if trouble:
            raise trouble

    def _fail_refused(self) -> None:
        """A server that refused its model would refuse it again: the runs on its base fail for its reason."""
        for base, server in list(self._servers.items()):
            process = server.program.process
            if process is not None and process.poll() == SettingsError.exit_code:
                self.watch.fail(base, _message(server.program.last_line()))
                self._end(base)

    def close(self) -> None:
        stop_all(self.programs)
        for base in list(self._servers):
            self._end(base)

    def _start(self, base: str, model: NeededModel) -> _Server:
        holder = reserve_port()
        port = holder.getsockname()[1]
        name = f"model_server-{base[:8]}"
        arguments = ["--model", str(model.folder), "--port", str(port), "--name", model.name]
        arguments += ["--max-loras", str(MOST_ADAPTERS), "--adapters", str(self.adapters)]
        arguments += ["--api-key", f"file:{self._key_file}", "--log-format", self.log_format]
        arguments += ["--replies", str(self.logs.parent / f"replies-{base[:8]}.sqlite")]
        program = Program(name, [sys.executable, *MODEL_SERVER, *arguments], self.logs / f"{name}.log")
        server = _Server(program, holder, time.monotonic())
        found = ServedModel(
            url=server.url, name=model.name, api_key=self._key_file.read_text(encoding="utf-8")
        )
        served_models.announce(self.folder, base, found)
        return server

    def _end(self, base: str) -> None:
        server = self._servers.pop(base)
        served_models.withdraw(self.folder, base)
        stop_all([server.program])
        server.port_holder.close()

    def _unload_adapters_of(self, run: str, url: str) -> None:
        """Of a run that has ended: the server has little room, and keeps serving other runs. (The agent
        unloads what it loaded, but a worker that was started again does not know what there was before.)"""
        import httpx

        key = {"Authorization": f"Bearer {self._key_file.read_text(encoding='utf-8')}"}
        adapter = re.compile(rf"{re.escape(run)}-g\d+-[0-9a-f]+")
        try:
            with httpx.Client(trust_env=False, timeout=UNLOAD_S, headers=key) as client:
                names = [model["id"] for model in client.get(f"{url}/models").json()["data"]]
                for name in filter(adapter.fullmatch, names):
                    client.post(f"{url}/unload_lora_adapter", json={"lora_name": name})
        except (httpx.HTTPError, ValueError, KeyError) as error:
            _log.info("adapters of %s stay on %s: %s", run, url, error)


def _message(line: str) -> str:
    """What a line of a model server's log says, without its time and place."""
    if line.startswith("{"):
        with suppress(ValueError):
            return str(json.loads(line)["message"])
    return line.partition("agent_service.model_server: ")[2] or line
