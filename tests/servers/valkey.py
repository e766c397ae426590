"""A Valkey server for tests, as a user's own: a user with a password and few rights, and optionally TLS."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import redis

from ratchet.stack.broker import find_server
from shared.children import die_with_parent
from shared.config.settings import StackParts
from tests.servers.s3 import free_port

USER, PASSWORD = "ratchet", "let/me@in:1"
RIGHTS = "~ratchet:* &* +@all -@dangerous -@admin +info"  # of the user that the README creates


class Valkey:
    """`options` are valkey-server's, as on its command line."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="ratchet-valkey-"))
        self.process: subprocess.Popen[bytes] | None = None
        acl = (
            f"user default off\nuser {USER} on >{PASSWORD} {RIGHTS}\nuser admin on >{PASSWORD} ~* &* +@all\n"
        )
        (self.folder / "users.acl").write_text(acl)

    @property
    def parts(self) -> StackParts:
        return StackParts(broker_url=f"redis://{USER}@127.0.0.1:{self.port}/0")

    def start(self) -> None:
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        words += ["--aclfile", str(self.folder / "users.acl"), *(self.options or ("--appendonly", "yes"))]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [find_server(), *words], stdout=log, stderr=log, preexec_fn=die_with_parent
            )
        end_s = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < end_s, (self.folder / "log").read_text()
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with self.admin() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def admin(self) -> redis.Redis:
        return redis.Redis("127.0.0.1", self.port, username="admin", password=PASSWORD)

    def close(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
