"""The trainer's process: `python -m trainer_service.worker --stack STACK_JSON`. Chooses the real parts."""

from __future__ import annotations

from shared.bus.bus import Handlers
from shared.bus.celery_app import run_worker
from shared.config.secrets import open_ledger, open_store
from shared.config.settings import StackSettings
from shared.store.trust import Trust, trust_of


def build(stack: StackSettings) -> Handlers:
    from trainer_service.handlers import Deps, handlers  # in the child: numpy stays out of the parent

    ledger = open_ledger(stack)

    def trust(run_id: str) -> Trust:
        return trust_of(run_id, (logged.event for logged in ledger.events(run_id)))

    return handlers(Deps(open_store(stack), stack.cache_dir, trust, stack.signing_key))


if __name__ == "__main__":
    run_worker("trainer", build)
