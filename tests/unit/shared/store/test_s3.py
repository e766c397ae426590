"""The store on S3 behind a bad network, a server that restarts, and TLS. What it shares with a folder's store
is in test_store.py, wrong settings in test_wrong_settings.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import SettingsError, StoreRefusedError, StoreUnavailableError
from shared.store.s3 import AWS, Keys, Patience, Place, S3Store, read_url
from tests.parts.stores import in_bucket, s3_store
from tests.servers import s3
from tests.servers.proxy import Fault, Proxy, make_certificate

HASTY = Patience(connect_s=0.4, read_s=0.4, least_bytes_s=1_000_000, tries=0)
LARGE = bytes(range(256)) * 1600  # 400 kB


@pytest.fixture
def proxy(rclone: s3.Server) -> Iterator[Proxy]:
    with Proxy(rclone.port) as proxy:
        yield proxy


@pytest.fixture
def far(proxy: Proxy, tmp_path: Path) -> S3Store:
    """The store behind the proxy."""
    url = f"s3://{s3.BUCKET}/far?endpoint=http://127.0.0.1:{proxy.port}"
    return s3_store(url, tmp_path / "names.sqlite", HASTY)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://my-bucket", Place("my-bucket", "", AWS, None, "")),
        ("s3://my-bucket/a/b/?region=eu-west-1", Place("my-bucket", "a/b/", AWS, "eu-west-1", "")),
        (
            "s3://my-bucket/a?endpoint=https://host:9000/&ca=/ca.pem",
            Place("my-bucket", "a/", "https://host:9000", "us-east-1", "/ca.pem"),
        ),
    ],
)
def test_a_url_says_where_the_store_is(url: str, place: Place) -> None:
    assert read_url(url) == place


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://ab",
        "http://bucket",
        "s3://bucket?endpoint=host:9000",
        "s3://bucket?endpoint=https://host:port",
        "s3://bucket?endpoint=https://host/path",
        "s3://bucket?bogus=1",
    ],
)
def test_another_url_is_refused_with_how_it_is_written(url: str) -> None:
    with pytest.raises(SettingsError, match="s3://bucket/prefix"):
        read_url(url)


def test_keys_do_not_show_themselves() -> None:
    assert "hush" not in repr(Keys("who", "hush"))


def test_a_server_that_does_not_answer_is_an_error_that_passes(far: S3Store, proxy: Proxy) -> None:
    proxy.rest = Fault(silent=True)
    with pytest.raises(StoreUnavailableError, match="can't be reached") as caught:
        far.put(b"abc")
    assert caught.value.transient
    proxy.rest = Fault()
    assert far.get(far.put(b"abc")) == b"abc"


def test_a_server_that_trickles_is_given_up(far: S3Store, proxy: Proxy) -> None:
    digest = far.put(LARGE)
    far._client._http.clear()  # the connection from before knows no fault
    proxy.rest = Fault(bytes_s=100_000)
    with pytest.raises(StoreUnavailableError, match="too slow"):
        far.get(digest)


def test_an_answer_that_is_cut_off_is_an_error_that_passes_and_never_half_an_object(
    far: S3Store, proxy: Proxy
) -> None:
    digest = far.put(LARGE)
    far._client._http.clear()
    proxy.faults = [Fault(cut_after=5000)]
    with pytest.raises(StoreUnavailableError, match="can't be reached"):
        far.get(digest)
    assert far.get(digest) == LARGE


def test_a_bit_that_flips_on_the_way_is_noticed_and_the_object_is_read_again(
    far: S3Store, proxy: Proxy
) -> None:
    digest = far.put(LARGE)
    far._client._http.clear()
    proxy.faults = [Fault(flip_at=100_000)]
    assert far.get(digest) == LARGE
    assert not proxy.faults  # it met the fault


def test_writing_a_damaged_object_again_heals_it(rclone: s3.Server, tmp_path: Path) -> None:
    kept = in_bucket(rclone, tmp_path / "names.sqlite")
    digest = kept.store.put(b"abc")
    kept.overwrite(digest, b"ab")
    assert kept.store.put(b"abc") == digest
    assert kept.store.get(digest) == b"abc"


def test_a_server_that_restarts_has_everything_and_is_used_again_at_once(tmp_path: Path) -> None:
    server = s3.Rclone()
    try:
        server.start()
        store = s3_store(server.url("x"), tmp_path / "names.sqlite", HASTY)
        digest = store.put(b"abc")
        store.bind("reply", "k", digest)
        server.stop()
        with pytest.raises(StoreUnavailableError, match="can't be reached"):
            store.get(digest)
        server.start()
        bound = store.lookup("reply", "k")
        assert bound is not None
        assert store.get(bound) == b"abc"
    finally:
        server.close()


def test_tls_is_checked_against_the_authority_that_the_url_names(rclone: s3.Server, tmp_path: Path) -> None:
    authority, context = make_certificate(tmp_path)
    with Proxy(rclone.port, context) as proxy:
        url = f"s3://{s3.BUCKET}/tls?endpoint=https://127.0.0.1:{proxy.port}"
        store = s3_store(f"{url}&ca={authority}", tmp_path / "names.sqlite")
        assert store.get(store.put(b"abc")) == b"abc"
        with pytest.raises(StoreRefusedError, match="can't be trusted"):
            s3_store(url, tmp_path / "names.sqlite", HASTY).check()
