"""The agent's worker: `python -m agent_service.worker --stack stack.json`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from agent_service.adapters import Adapters
from agent_service.handlers import Deps, handlers
from shared.box.open import open_box
from shared.bus.bus import Handlers
from shared.bus.celery_app import run_worker
from shared.config.secrets import open_ledger, open_store
from shared.config.settings import ModelSection, StackSettings
from shared.errors import ChatUnavailableError, SettingsError
from shared.harness.steps import ScaffoldPool
from shared.ledger.spending import Counter
from shared.model.opening import open_chat
from shared.model.served import ServedModel, look_up
from shared.store.store import Store
from shared.tasks.task import load_task


def build(stack: StackSettings, closing: ExitStack | None = None) -> Handlers:
    """The handlers with all that they need. `closing`: ends scaffolds and connections. Raises
    BoxNotWholeError where scaffolds can't be isolated."""
    closing = closing or ExitStack()
    store = open_store(stack)
    ledger = open_ledger(stack)
    deps = Deps(
        store=store,
        ledger=ledger,
        load_task=load_task,
        adapters_of=_adapters_by_endpoint(stack, store, closing),
        pool=closing.enter_context(ScaffoldPool(open_box())),
        cache=stack.cache_dir,
        job_limit_s=stack.job_limit_s,
        counter_of=partial(Counter, ledger),
    )
    return handlers(deps)


def _adapters_by_endpoint(
    stack: StackSettings, store: Store, closing: ExitStack
) -> Callable[[ModelSection, str], Adapters]:
    opened: dict[str, Adapters] = {}

    def adapters_of(model: ModelSection, base: str) -> Adapters:
        served = endpoint_of(model, base, stack)
        key = f"{model.model_dump_json()} {served.model_dump_json()}"
        if key not in opened:
            server = {"url": served.url, "api_key": served.api_key}
            chat = open_chat(model, store, **server, concurrency=model.concurrency)
            closing.callback(chat.close)
            opened[key] = Adapters(chat, store, stack.cache_dir, served.name)
        return opened[key]

    return adapters_of


def endpoint_of(model: ModelSection, base: str, stack: StackSettings) -> ServedModel:
    """The run's endpoint, where it answers now, else the stack's, else the server that the stack has for this
    very base. Raises ChatUnavailableError while that one is not known yet."""
    url = (stack.moved_model_url or model.url) if model.url else stack.model_url
    if url:
        return ServedModel(url=url, name=model.name)
    if stack.models_dir is None:
        raise SettingsError(
            "no model endpoint is known", "set model.url, or let the stack serve the base model"
        )
    served = look_up(stack.models_dir, base)
    if served is None:
        raise ChatUnavailableError(f"no server has the base model {base[:12]} yet", "the stack starts it")
    return served


if __name__ == "__main__":
    run_worker("agent", build)
