"""The agent's worker: `python -m agent_service.worker --stack stack.json`."""

from __future__ import annotations

import os
from collections.abc import Callable

from agent_service.adapters import Adapters
from agent_service.handlers import Deps, handlers
from shared.box import open_box
from shared.bus import Handlers
from shared.celery_app import run_worker
from shared.chat import Chat
from shared.errors import SettingsError
from shared.secrets import open_ledger, open_store
from shared.settings import ModelSection, StackSettings
from shared.steps import ScaffoldPool
from shared.store import Store
from shared.task import load_task

NO_KEY = "none"  # an endpoint of one's own asks for none, but the client wants a word


def build(stack: StackSettings) -> Handlers:
    """The handlers with all that they need. Raises BoxNotWholeError where scaffolds can't be isolated."""
    store = open_store(stack)
    deps = Deps(
        store=store,
        ledger=open_ledger(stack),
        load_task=load_task,
        adapters_of=_adapters_by_endpoint(stack, store),
        pool=ScaffoldPool(open_box()),
        cache=stack.cache_dir,
    )
    return handlers(deps)


def _adapters_by_endpoint(stack: StackSettings, store: Store) -> Callable[[ModelSection], Adapters]:
    opened: dict[ModelSection, Adapters] = {}

    def adapters_of(model: ModelSection) -> Adapters:
        if model not in opened:
            opened[model] = Adapters(_open_chat(model, stack, store), store, stack.cache_dir, model.name)
        return opened[model]

    return adapters_of


def _open_chat(model: ModelSection, stack: StackSettings, store: Store) -> Chat:
    url = model.url or stack.model_url
    if not url:
        raise SettingsError(
            "no model endpoint is known", "set model.url, or let the stack serve the base model"
        )
    key = os.environ.get(model.api_key_env) or NO_KEY
    return Chat(url, store, api_key=key, timeout_s=model.timeout_s, concurrency=model.concurrency)


if __name__ == "__main__":
    run_worker("agent", build)
