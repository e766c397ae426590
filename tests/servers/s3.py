"""S3 servers for tests, on 127.0.0.1: rclone (one binary, plain files, real signatures) and moto (in memory,
versions and conditional puts, no signatures)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from shared.children import die_with_parent
from shared.store.s3 import Keys

ACCESS, SECRET = "tester", "testing testing"
BUCKET = "bucket"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Server:
    """A program that serves S3, and the keys that it knows."""

    keys = Keys(ACCESS, SECRET)

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="ratchet-s3-"))
        self.environment = dict(os.environ)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, prefix: str = "", bucket: str = BUCKET) -> str:
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.environment,
                preexec_fn=die_with_parent,
            )
        end_s = time.monotonic() + 180  # four servers on a busy machine
        while time.monotonic() < end_s:
            try:
                httpx.get(self.endpoint, trust_env=False)
                return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def running(server: Server) -> Iterator[Server]:
    """For a fixture."""
    try:
        server.start()
        yield server
    finally:
        server.close()


class Rclone(Server):
    def __init__(self) -> None:
        super().__init__()
        (self.folder / "data" / BUCKET).mkdir(parents=True)

    def command(self) -> list[str]:
        program = str(Path(sys.executable).with_name("rclone"))
        options = ["--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{ACCESS},{SECRET}", "--config", ""]
        return [program, "serve", "s3", str(self.folder / "data"), *options]


class Moto(Server):
    def command(self) -> list[str]:
        return [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(self.port)]

    def start(self) -> None:
        super().start()
        httpx.put(f"{self.endpoint}/{BUCKET}", trust_env=False).raise_for_status()
