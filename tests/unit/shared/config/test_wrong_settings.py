"""Every wrong setting of a stack's parts ends in one message that names the part and the hint, holds no
secret, and comes with a code that is not 0. On real servers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.bus.start_checks import check_broker, check_parts
from shared.config.secrets import read_secret
from shared.config.settings import StackParts
from shared.errors import RatchetError
from tests.servers import postgres as pg
from tests.servers import s3, valkey
from tests.servers.proxy import Proxy, make_certificate

WRONG = "a wrong secret"


@pytest.fixture(scope="module")
def broker() -> Iterator[valkey.Valkey]:
    server = valkey.Valkey("--appendonly", "no")
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def tls(broker: valkey.Valkey, tmp_path: Path) -> Iterator[tuple[Path, Proxy]]:
    """The certificate of its authority, and the broker behind TLS."""
    authority, context = make_certificate(tmp_path)
    with Proxy(broker.port, context) as proxy:
        yield authority, proxy


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The right ones, where the settings look by themselves."""
    monkeypatch.setenv("PGPASSWORD", pg.PASSWORD)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.SECRET)
    monkeypatch.setenv("REDIS_PASSWORD", valkey.PASSWORD)
    monkeypatch.setenv("WRONG", WRONG)


def refused(parts: StackParts, match: str, code: int = 2) -> None:
    with pytest.raises(RatchetError) as caught:
        check_parts(parts)
    message = str(caught.value)
    assert match in message
    assert caught.value.hint, message
    assert caught.value.exit_code == code
    assert "\n" not in message
    for secret in (WRONG, pg.PASSWORD, s3.SECRET, valkey.PASSWORD):
        assert secret not in message


def test_the_right_settings_are_accepted(
    postgres: pg.Postgres, rclone: s3.Server, broker: valkey.Valkey
) -> None:
    parts = StackParts(
        ledger_url=postgres.empty_ledger(), store_url=rclone.url("x"), broker_url=broker.parts.broker_url
    )
    [warning] = check_parts(parts)
    assert "CONFIG SET appendonly yes" in warning


Change = Callable[[pg.Postgres], dict[str, str]]
LEDGERS: dict[str, tuple[Change, str]] = {
    "password": (
        lambda server: {"ledger_url": server.url("ledger"), "ledger_password": "env:WRONG"},
        "PGPASSWORD",
    ),
    "user": (
        lambda server: {"ledger_url": server.url("ledger", user="nobody")},
        "password authentication failed",
    ),
    "database": (lambda server: {"ledger_url": server.url("nothing")}, "create that user and database"),
    "no tables": (lambda server: {"ledger_url": server.url("postgres")}, "ratchet migrate --ledger"),
    "no right": (lambda server: {"ledger_url": server.url("ledger", user="guest")}, "GRANT"),
    "TLS": (lambda server: {"ledger_url": server.url("ledger") + "?sslmode=require"}, "set sslmode"),
}


@pytest.mark.parametrize("wrong", LEDGERS)
def test_a_wrong_ledger(wrong: str, postgres: pg.Postgres) -> None:
    postgres.empty_ledger()
    postgres.execute(
        "DROP ROLE IF EXISTS guest", f"CREATE ROLE guest LOGIN PASSWORD '{pg.PASSWORD}'", database="ledger"
    )
    change, match = LEDGERS[wrong]
    refused(StackParts(**change(postgres)), match)


def test_a_ledger_that_is_away() -> None:
    refused(
        StackParts(ledger_url=f"postgresql+psycopg://x@127.0.0.1:{s3.free_port()}/x"),
        "is the database up",
        74,
    )


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"store_secret_key": "env:WRONG"}, "AWS_SECRET_ACCESS_KEY"),
        ({"store_access_key": "env:WRONG"}, "AWS_ACCESS_KEY_ID"),
        ({"store_access_key": "env:NOT_SET"}, "AWS_ACCESS_KEY_ID"),
        ({"bucket": "no-such-bucket"}, "create the bucket"),
        ({"bucket": "x"}, "endpoint=https://host:9000"),
        ({"scheme": "https"}, "use the scheme that it speaks"),
        ({"options": "&ca=/no/such/file"}, "/no/such/file"),
        ({"options": "&regoin=eu"}, "region=NAME"),
    ],
    ids=str,
)
def test_a_wrong_store(change: dict[str, str], match: str, rclone: s3.Server) -> None:
    url = rclone.url("x", bucket=change.pop("bucket", s3.BUCKET)) + change.pop("options", "")
    url = url.replace("=http:", f"={change.pop('scheme', 'http')}:")
    refused(StackParts(store_url=url, **change), match)


def test_a_store_that_is_away() -> None:
    refused(StackParts(store_url=f"s3://bucket?endpoint=http://127.0.0.1:{s3.free_port()}"), "is it up?", 74)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"broker_password": "env:WRONG"}, "REDIS_PASSWORD"),
        ({"broker_password": "env:NOT_SET"}, "REDIS_PASSWORD"),
        ({"user": "nobody"}, "put the user into the URL"),
        ({"user": "mute"}, "+info"),
        ({"scheme": "rediss"}, "with TLS as in the URL"),
        ({"scheme": "http"}, "rediss://"),
    ],
    ids=str,
)
def test_a_wrong_broker(change: dict[str, str], match: str, broker: valkey.Valkey) -> None:
    with broker.admin() as client:
        client.execute_command("ACL", "SETUSER", "mute", "on", f">{valkey.PASSWORD}", "~*", "+ping")
    url = broker.parts.broker_url.replace(valkey.USER, change.pop("user", valkey.USER))
    url = url.replace("redis:", change.pop("scheme", "redis") + ":")
    refused(StackParts(broker_url=url, **change), match)


def test_a_broker_that_may_evict(broker: valkey.Valkey) -> None:
    with broker.admin() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            refused(broker.parts, "CONFIG SET maxmemory-policy noeviction")
        finally:
            client.config_set("maxmemory-policy", "noeviction")


def test_a_broker_that_is_away_is_refused_by_the_command_line_and_waited_for_by_a_worker() -> None:
    parts = StackParts(broker_url=f"redis://127.0.0.1:{s3.free_port()}/0")
    refused(parts, "is it running")
    [warning] = check_broker(parts, must_answer=False)
    assert "tries again" in warning


def test_a_broker_with_tls_is_checked_against_the_authority_that_the_url_names(
    broker: valkey.Valkey, tls: tuple[Path, Proxy]
) -> None:
    authority, proxy = tls
    url = f"rediss://{valkey.USER}@127.0.0.1:{proxy.port}/0"
    check_broker(StackParts(broker_url=f"{url}?ssl_ca_certs={authority}"))
    refused(StackParts(broker_url=url), "ssl_ca_certs=/path")
    refused(StackParts(broker_url=f"{url}?ssl_ca_certs=/no/such/file"), "ssl_ca_certs=/path")
    refused(StackParts(broker_url=url.replace("rediss", "redis")), "with TLS as in the URL")


def test_a_secret_comes_from_a_file_without_its_newline_and_a_missing_file_is_named(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("let me in\n")
    assert read_secret(f"file:{secret}") == "let me in"
    with pytest.raises(RatchetError, match=r"none: No such file .*mounted"):
        read_secret(f"file:{tmp_path / 'none'}")
