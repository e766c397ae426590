"""Valkey as the cluster starts it: from k8s/base/valkey.conf and the users of `ratchet deploy --secrets`."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from ratchet.deploy import secrets
from ratchet.stack.broker import find_server, reserve_port
from shared.children import die_with_parent

CONF = Path(__file__).parents[2] / "k8s" / "base" / "valkey.conf"
PASSWORD = "p/@:w"


@contextmanager
def cluster_broker(folder: Path) -> Iterator[str]:
    """Its URL, without the password, for as long as the block lasts."""
    (folder / "users.acl").write_text(secrets.broker_acl(PASSWORD))
    with reserve_port() as holder:
        port = holder.getsockname()[1]
    text = CONF.read_text()
    for old, new in (
        ("port 6379", f"port {port}"),
        ("bind * -::*", "bind 127.0.0.1"),
        ("dir /data", f"dir {folder}"),
        ("/etc/valkey-secret/users.acl", str(folder / "users.acl")),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "valkey.conf").write_text(text)
    with (folder / "valkey.log").open("w") as log:
        command = [find_server(), str(folder / "valkey.conf")]
        process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent)
    url = f"redis://ratchet@127.0.0.1:{port}/0"
    try:
        _await(url)
        yield url
    finally:
        process.terminate()
        process.wait()


def _await(url: str) -> None:
    deadline = time.monotonic() + 20
    with redis.Redis.from_url(url, password=PASSWORD) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
