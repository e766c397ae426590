"""Feedback's worker: `python -m feedback_service.worker --stack stack.json`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from shared.bus.bus import Handlers
from shared.bus.celery_app import run_worker
from shared.config.secrets import open_ledger, open_store
from shared.config.settings import AdvisorSection, StackSettings
from shared.ledger.spending import Counter
from shared.store.store import Store

if TYPE_CHECKING:
    from shared.ledger.history.state import EventLog
    from shared.model.client import Chat


def build(stack: StackSettings) -> Handlers:
    from feedback_service.course.situation import Deps
    from feedback_service.handlers import handlers  # in the child: numpy and optuna stay out of the parent

    store, ledger = open_store(stack), open_ledger(stack)
    return handlers(
        Deps(ledger, store, partial(open_advisor, store=store), counter_of=partial(Counter, ledger))
    )


def derive_from(
    log: EventLog,
    store: Store,
    advisor_of: Callable[[AdvisorSection], Chat],
    unpacked: Path,
) -> Handlers:
    """Its handlers on any log and store: `ratchet replay` derives decisions with them."""
    from feedback_service.course.situation import Deps
    from feedback_service.handlers import handlers

    return handlers(Deps(log, store, advisor_of, unpacked=unpacked))


def open_advisor(section: AdvisorSection, store: Store) -> Chat:
    """The advisor's endpoint; its key comes from the environment, by name."""
    from shared.model.opening import open_chat

    return open_chat(section, store, concurrency=section.drafts)


if __name__ == "__main__":
    run_worker("feedback", build)
