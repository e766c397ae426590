"""Feedback's worker: `python -m feedback_service.worker --stack stack.json`."""

from __future__ import annotations

from shared.bus import Handlers
from shared.celery_app import run_worker
from shared.ledger import Ledger
from shared.settings import StackSettings
from shared.store import open_store


def build(stack: StackSettings) -> Handlers:
    from feedback_service.handlers import handlers  # in the child: numpy and optuna stay out of the parent
    from feedback_service.situation import Deps

    ledger = Ledger(stack.ledger_url, lease_s=stack.lease_s, max_attempts=stack.max_attempts)
    return handlers(Deps(ledger=ledger, store=open_store(stack.store_url)))


if __name__ == "__main__":
    run_worker("feedback", build)
