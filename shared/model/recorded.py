"""Replies as they were: for a decision that is derived again, no endpoint is asked. Why one gave none is kept
beside the replies, for the endpoints whose failures a decision rests on (the advisor's).
"""

from __future__ import annotations

import math

from shared.errors import (
    ChatError,
    ChatUnavailableError,
    EndpointBlockedError,
    RatchetError,
    RequestRefusedError,
)
from shared.messages.records import Sample
from shared.model.answering import Answering
from shared.model.options import Options
from shared.model.replies.reading import Usage
from shared.model.wire import SampleRequest
from shared.store.store import Store, get_json, put_json

KIND = "no_reply"  # of the bindings in the store
_KINDS: dict[str, type[RatchetError]] = {
    kind.__name__: kind
    for kind in (ChatError, ChatUnavailableError, EndpointBlockedError, RequestRefusedError)
}


class NoReplyError(ChatUnavailableError):
    """Neither a reply nor a failure is stored."""


def keep_failure(store: Store, key: str, error: ChatError | ChatUnavailableError) -> None:
    """As the nearest kind that can be raised again."""
    kind = next(one.__name__ for one in type(error).__mro__ if one.__name__ in _KINDS)
    store.bind(KIND, key, put_json(store, {"kind": kind, "message": error.message, "hint": error.hint}))


class RecordedAnswers(Answering):
    """Raises what was kept and asks nothing. (Stored replies are found before it is asked.)"""

    def __init__(self, store: Store) -> None:
        super().__init__((), Options(), 0.0)
        self._store = store

    def answer(
        self, request: SampleRequest, index: int, key: str, until_s: float = math.inf
    ) -> tuple[Sample, Usage]:
        if kept := self._store.lookup(KIND, key):
            found = get_json(self._store, kept)
            raise _KINDS[found["kind"]](found["message"], found["hint"])
        raise NoReplyError("no reply to this request is stored")
