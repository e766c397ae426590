"""Optional programs beside a stack: Flower, and metrics for Prometheus. Here: their ports, Flower's password
and how each is started; the programs are flower_server.py and metrics_server.py.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from shared.errors import SettingsError

FLOWER_PORT = 5555
METRICS_PORT = 9464
FLOWER_USER = "ratchet"
PASSWORD_VARIABLE = "RATCHET_FLOWER_PASSWORD"
PASSWORD_FILE = "flower.password"


@dataclass(frozen=True)
class Flower:
    """Flower on this machine's loopback, as it is about to be started."""

    port: int
    password_file: Path
    notice: str  # for the user who started it; holds the password only when that is new

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def arguments(self) -> list[str]:
        port = ["--port", str(self.port)]
        return ["-m", "ratchet.monitoring.flower_server", *port, "--password-file", str(self.password_file)]


def plan_flower(folder: Path, port: int) -> Flower:
    """With the password from the environment, or kept in the folder, or made now. Raises SettingsError."""
    from ratchet.stack.broker import write_private  # not above: the command line reads this file's ports

    port = take_port(port, "--flower-port")
    folder.mkdir(parents=True, exist_ok=True)
    file, given = folder / PASSWORD_FILE, os.environ.get(PASSWORD_VARIABLE, "")
    known = f"user {FLOWER_USER}, password in {file}"
    if given:
        write_private(file, given + "\n")
        known = f"user {FLOWER_USER}, password from {PASSWORD_VARIABLE}"
    elif not file.exists():
        made = secrets.token_urlsafe(18)
        write_private(file, made + "\n")
        known = f"user {FLOWER_USER}, password {made} (kept in {file})"
    return Flower(port, file, f"Flower: http://127.0.0.1:{port}  {known}")


def metrics_arguments(port: int) -> list[str]:
    return ["-m", "ratchet.monitoring.metrics_server", "--port", str(port)]


MOST_PORT = 65_535


def take_port(port: int, option: str, host: str = "127.0.0.1") -> int:
    """A free port of this machine's address `host`; 0 finds one. Raises SettingsError."""
    bare = host.strip("[]")
    if not 0 <= port <= MOST_PORT:
        raise SettingsError(f"{port} is no port", f"{option} takes 0 (a free one) to {MOST_PORT}")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    try:
        with socket.create_server((bare, port), family=family) as probe:
            return int(probe.getsockname()[1])
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no such address"
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            hint = f"give another {option}; 0 takes a free one"
        else:
            hint = "--host takes an address of this machine: 127.0.0.1, 0.0.0.0; ports below 1024 are root's"
        raise SettingsError(f"port {port} of {host} can't be used: {reason}", hint) from None
