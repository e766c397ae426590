"""A private PostgreSQL cluster for tests: a free port of 127.0.0.1, real passwords, its own temporary folder.
Started as an ordinary user (as `postgres` where the tests run as root, which PostgreSQL refuses)."""

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
import pytest

from shared.children import die_with_parent
from shared.ledger.ledger import Ledger
from shared.ledger.schema import metadata

PASSWORD = "correct horse"  # with a space: a URL has to quote it
OWNER = "owner"
QUICK = {
    "fsync": "off",
    "max_connections": "60",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
}


def find_programs() -> Path:
    """The folder of initdb and postgres; skips the test where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    return (found[-1] if found else Path(on_path or "").resolve()).parent


class Postgres:
    """`url(database)` holds no password: `password` is for the environment."""

    password = PASSWORD

    def __init__(self) -> None:
        self.programs = find_programs()
        self.folder = Path(tempfile.mkdtemp(prefix="ratchet-postgres-"))
        self.as_user: dict[str, Any] = {}
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            self.as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.migrated = ""
        self.process: subprocess.Popen[bytes] | None = None
        self._initdb()

    def _initdb(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        words = [
            "-U",
            OWNER,
            "-A",
            "scram-sha-256",
            f"--pwfile={secret}",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]
        command = [str(self.programs / "initdb"), "-D", str(self.folder / "data"), *words]
        subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=60, **self.as_user)

    def start(self) -> None:
        options = [word for key, value in QUICK.items() for word in ("-c", f"{key}={value}")]
        command = [
            str(self.programs / "postgres"),
            "-D",
            str(self.folder / "data"),
            "-p",
            str(self.port),
            *options,
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd="/", preexec_fn=die_with_parent, **self.as_user
            )
        self._wait()

    def _wait(self) -> None:
        end_s = time.monotonic() + 30
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > end_s:
                    raise AssertionError((self.folder / "log").read_text()) from error
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
        where = {"host": "127.0.0.1", "port": self.port, "dbname": database, "user": OWNER}
        return psycopg.connect(password=PASSWORD, autocommit=True, connect_timeout=2, **where)  # type: ignore[arg-type]

    def url(self, database: str = "postgres", user: str = OWNER) -> str:
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """A database without tables; its URL."""
        self.execute(f"CREATE DATABASE {database}")
        return self.url(database)

    def empty_ledger(self) -> str:
        """A migrated database whose tables are empty, the same one each time: quicker than a new one."""
        if not self.migrated:
            self.migrated = self.create("ledger")
            Ledger(self.migrated).create_schema()
        tables = ", ".join(table.name for table in metadata.sorted_tables)
        self.execute(f"TRUNCATE {tables} RESTART IDENTITY", database="ledger")
        return self.migrated

    def execute(self, *statements: str, database: str = "postgres") -> None:
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]
