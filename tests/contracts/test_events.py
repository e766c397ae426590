"""The wire: every message ever sent can still be read, and nothing else can."""

import json
from pathlib import Path

import pytest

from shared.errors import DecodeError
from shared.messages import events, routes

GOLDEN = Path(__file__).parent / "golden"
ALL = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Message)]
SENT = [kind for kind in ALL if kind is not events.Message]


def kept(golden: object, written: object) -> bool:
    """Whether `written` holds all of `golden`; fields with a default may have come since, also inside."""
    if isinstance(golden, dict) and isinstance(written, dict):
        return all(key in written and kept(value, written[key]) for key, value in golden.items())
    if isinstance(golden, list) and isinstance(written, list):
        return len(golden) == len(written) and all(map(kept, golden, written))
    return golden == written


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_a_golden_message_is_read_and_every_word_of_it_is_kept(path: Path) -> None:
    golden = json.loads(path.read_text(encoding="utf-8"))
    written = events.decode(path.read_bytes()).model_dump(mode="json")
    assert kept(golden, written)
    kind = type(events.decode(path.read_bytes()))
    assert not any(kind.model_fields[key].is_required() for key in written.keys() - golden.keys())


def test_every_message_class_has_a_golden_file() -> None:
    tags = {kind.model_fields["type"].default for kind in SENT}
    assert tags == {path.stem for path in GOLDEN.glob("*.json")}


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[]",
        b'{"type": "unknown.v1", "run_id": "r"}',
        b'{"type": "run_started.v1", "run_id": "r"}',
        b'{"type": "run_started.v1", "run_id": "r", "config": "c", "command": "rm"}',
    ],
)
def test_what_is_no_message_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError):
        events.decode(body)


def test_a_messages_digest_depends_on_its_content_alone() -> None:
    one = events.RunStarted(run_id="r", config="c")
    assert one.digest == events.decode(one.model_dump_json()).digest
    assert one.digest != events.RunStarted(run_id="r", config="d").digest


def test_a_message_of_a_join_has_no_handler_of_its_own() -> None:
    assert not set(routes.JOINED_INTO) & set(routes.HANDLED_BY)
    assert set(routes.JOINED_INTO.values()) <= set(routes.HANDLED_BY)


def test_only_events_meant_for_the_log_have_no_handler() -> None:
    handled = set(routes.HANDLED_BY) | set(routes.JOINED_INTO)
    asked_for = {events.ReleaseRolledBack, events.ScorePosted, events.StopRequested}
    assert set(SENT) - handled == asked_for | {events.ReleaseRejected, events.RunFinished}
