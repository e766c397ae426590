"""The store on OpenStack Swift: access rights, and a restart. (test_store.py runs there as well.)"""

from pathlib import Path

import pytest

from shared.errors import StoreRefusedError
from tests.parts.stores import s3_store
from tests.servers import swift as server

pytestmark = [pytest.mark.live, pytest.mark.slow]


def test_a_key_without_the_right_is_refused_in_words(swift: server.Swift, tmp_path: Path) -> None:
    owner = s3_store(swift.url("x"), tmp_path / "names.sqlite", keys=server.OWNER)
    guest = s3_store(swift.url("x"), tmp_path / "names.sqlite", keys=server.GUEST)
    digest = owner.put(b"abc")
    for forbidden in (guest.check, lambda: guest.get(digest), lambda: guest.has(digest)):
        with pytest.raises(StoreRefusedError, match="allow this key s3:GetObject and s3:PutObject"):
            forbidden()


def test_everything_is_there_after_a_restart(swift: server.Swift, tmp_path: Path) -> None:
    store = s3_store(swift.url("x"), tmp_path / "names.sqlite", keys=server.OWNER)
    large = bytes(range(256)) * 30_000
    digests = [store.put(data) for data in (b"abc", large)]
    swift.stop()
    swift.start()
    assert [store.get(digest) for digest in digests] == [b"abc", large]
