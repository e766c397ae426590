"""The local stack's own broker: its folder may be called anything."""

import os
from pathlib import Path

import pytest
import redis

from ratchet.stack.broker import Broker, quoted
from ratchet.stack.processes import stop_all
from shared.config.secrets import broker_url
from shared.config.settings import StackParts


@pytest.mark.parametrize("name", ["项目", 'a "quoted" \\ folder', "späce and % { } # ;"])
def test_a_broker_keeps_its_file_in_a_folder_of_any_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    broker = Broker(folder, tmp_path / "broker.log")
    broker.program.start()
    try:
        broker.wait()
        with redis.Redis.from_url(broker_url(StackParts(**broker.settings))) as client:
            assert client.config_get("dir")["dir"].encode(errors="surrogateescape") == os.fsencode(folder)
    finally:
        stop_all([broker.program])
        broker.holder.close()


def test_a_quoted_path_is_plain_text() -> None:
    assert quoted(Path("/a b/项")) == '"/a b/\\xe9\\xa1\\xb9"'
