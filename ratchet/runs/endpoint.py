"""Asks a user's own model endpoint, before a run begins, whether it is there, serves the model and takes
adapters. Where it takes none, the run is left with the harness lever, and a sentence says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from shared.config.settings import AdvisorSection, RunConfig
from shared.decisions.levers import serves_own_base, why_off
from shared.errors import AdaptersUnsupportedError, ChatUnavailableError, SettingsError, UnknownModelError
from shared.model.client import Chat
from shared.store.store import LocalStore

PROBE_S = 15.0
NO_KEY = "none"
T = TypeVar("T")


def check_advisor(advisor: AdvisorSection) -> None:
    """Raises SettingsError if there is to be an advisor and it is not there, or serves no such model."""
    if advisor.url:
        _reachable(advisor.url, advisor.name, advisor.api_key_env, "advisor", lambda chat: None)


def settle_levers(config: RunConfig) -> tuple[RunConfig, str]:
    """The config with the levers that its endpoint leaves, and a sentence where those are fewer than before.

    Raises SettingsError for an endpoint that can't be used, AdaptersUnsupportedError where no lever is left.
    """
    if not config.model.url:
        return config, ""
    model = config.model
    loads_adapters = _reachable(model.url, model.name, model.api_key_env, "model", Chat.loads_adapters)
    if config.run.levers == "harness" or (loads_adapters and not serves_own_base(config)):
        return config, ""
    why = why_off(config, "weights") or f"{config.model.url} can't load adapters: harness-only run"
    if config.run.levers == "weights":
        hint = (
            "run with --levers harness, or give an endpoint that loads adapters and its model as model.base"
        )
        raise AdaptersUnsupportedError(why, hint)
    run = config.run.model_copy(update={"levers": "harness"})
    model = model.model_copy(update={"base": "seed"})  # nobody needs the weights any more
    return config.model_copy(update={"run": run, "model": model}), why


def _reachable(url: str, name: str, key_env: str, section: str, ask: Callable[[Chat], T]) -> T:
    """What `ask` says. Raises SettingsError if the endpoint is not there, or does not serve that model."""
    key = os.environ.get(key_env) or NO_KEY
    nothing = LocalStore(Path(os.devnull))  # a probe stores no reply
    chat = Chat(url, nothing, api_key=key, timeout_s=PROBE_S, concurrency=1)
    try:
        names = _names(chat)
        if names and name not in names:
            hint = f"set {section}.name to one of: {', '.join(names[:8])}"
            raise SettingsError(f"{url} does not serve {name!r}", hint)
        return ask(chat)
    except ChatUnavailableError as error:
        raise SettingsError(error.message, f"start it, or correct {section}.url; nothing was begun") from None
    finally:
        chat.close()


def _names(chat: Chat) -> list[str]:
    try:
        return chat.models()
    except UnknownModelError:  # it has no such list
        return []
