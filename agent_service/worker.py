"""The agent's worker: `python -m agent_service.worker --stack stack.json`."""

from __future__ import annotations

import os
from collections.abc import Callable

from agent_service.adapters import Adapters
from agent_service.handlers import Deps, handlers
from shared.box.open import open_box
from shared.bus.bus import Handlers
from shared.bus.celery_app import run_worker
from shared.config.secrets import open_ledger, open_store
from shared.config.settings import ModelSection, StackSettings
from shared.errors import ChatUnavailableError, SettingsError
from shared.harness.steps import ScaffoldPool
from shared.model.client import Chat
from shared.model.served import ServedModel, look_up
from shared.store.store import Store
from shared.tasks.task import load_task

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


def _adapters_by_endpoint(stack: StackSettings, store: Store) -> Callable[[ModelSection, str], Adapters]:
    opened: dict[tuple[ModelSection, ServedModel], Adapters] = {}

    def adapters_of(model: ModelSection, base: str) -> Adapters:
        served = endpoint_of(model, base, stack)
        if (model, served) not in opened:
            chat = _open_chat(model, served.url, store)
            opened[model, served] = Adapters(chat, store, stack.cache_dir, served.name)
        return opened[model, served]

    return adapters_of


def endpoint_of(model: ModelSection, base: str, stack: StackSettings) -> ServedModel:
    """The run's endpoint, else the stack's, else the server that the stack has for this very base.
    Raises ChatUnavailableError while that one is not known yet."""
    url = model.url or stack.model_url
    if url:
        return ServedModel(url=url, name=model.name)
    if stack.models_dir is None:
        raise SettingsError(
            "no model endpoint is known", "set model.url, or let the stack serve the base model"
        )
    served = look_up(stack.models_dir, base)
    if served is None:
        raise ChatUnavailableError(f"nobody serves the base model {base[:12]} yet", "the stack starts it")
    return served


def _open_chat(model: ModelSection, url: str, store: Store) -> Chat:
    key = os.environ.get(model.api_key_env) or NO_KEY
    return Chat(url, store, api_key=key, timeout_s=model.timeout_s, concurrency=model.concurrency)


if __name__ == "__main__":
    run_worker("agent", build)
