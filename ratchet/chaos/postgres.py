"""A private PostgreSQL cluster: a free port of 127.0.0.1, a password, a folder of its own. It runs as an
ordinary user (as `postgres` where root starts it) and ends with the process that started it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from shared.children import die_with_parent
from shared.errors import ToolMissingError

OWNER = "owner"
START_S = 30.0
SETTINGS = {"max_connections": "60", "unix_socket_directories": "", "listen_addresses": "127.0.0.1"}


def find_programs() -> Path:
    """The folder of initdb and postgres. Raises ToolMissingError."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        raise ToolMissingError("PostgreSQL is not installed", "apt-get install postgresql")
    return (found[-1] if found else Path(on_path or "").resolve()).parent


class Postgres:
    """`url(database)` holds no password: `password` is for the environment. `durable`: it syncs its commits,
    as a server does; False: for tests, which outlive no crash of the machine."""

    def __init__(self, password: str, durable: bool = True) -> None:
        self.programs = find_programs()
        self.password = password
        self.settings = SETTINGS | ({} if durable else {"fsync": "off"})
        self.folder = Path(tempfile.mkdtemp(prefix="ratchet-postgres-"))
        self.as_user: dict[str, Any] = {}
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            self.as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self._initdb()

    def _initdb(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password, encoding="utf-8")
        secret.chmod(0o644)
        access = ["-U", OWNER, "-A", "scram-sha-256", f"--pwfile={secret}"]
        words = [*access, "-E", "UTF8", "--locale=C", "--no-sync"]
        command = [str(self.programs / "initdb"), "-D", str(self.folder / "data"), *words]
        subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=60, **self.as_user)
        secret.unlink()

    def start(self) -> None:
        options = [word for key, value in self.settings.items() for word in ("-c", f"{key}={value}")]
        place = ["-D", str(self.folder / "data"), "-p", str(self.port)]
        command = [str(self.programs / "postgres"), *place, *options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd="/", preexec_fn=die_with_parent, **self.as_user
            )
        self._wait()

    def _wait(self) -> None:
        end_s = time.monotonic() + START_S
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > end_s:
                    log = (self.folder / "log").read_text(encoding="utf-8")
                    raise ToolMissingError(f"PostgreSQL does not start: {log[-300:]}") from error
                time.sleep(0.05)

    def stop(self) -> None:
        """At once, in the middle of whatever it does: what is not committed is lost."""
        if self.process:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(30)
            self.process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, database: str) -> psycopg.Connection[Any]:
        where: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "dbname": database, "user": OWNER}
        return psycopg.connect(password=self.password, autocommit=True, connect_timeout=2, **where)

    def url(self, database: str = "postgres", user: str = OWNER, port: int | None = None) -> str:
        return f"postgresql+psycopg://{user}@127.0.0.1:{port or self.port}/{database}"

    def create(self, database: str) -> str:
        """A database without tables; its URL."""
        self.execute(f"CREATE DATABASE {database}")
        return self.url(database)

    def execute(self, *statements: str, database: str = "postgres") -> None:
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]
