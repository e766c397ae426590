"""Feedback's worker: `python -m feedback_service.worker --stack stack.json`."""

from __future__ import annotations

from shared.bus import Handlers
from shared.celery_app import run_worker
from shared.secrets import open_ledger, open_store
from shared.settings import StackSettings


def build(stack: StackSettings) -> Handlers:
    from feedback_service.handlers import handlers  # in the child: numpy and optuna stay out of the parent
    from feedback_service.situation import Deps

    return handlers(Deps(ledger=open_ledger(stack), store=open_store(stack)))


if __name__ == "__main__":
    run_worker("feedback", build)
