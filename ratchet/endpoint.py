"""Asks a user's own model endpoint, before a run begins, whether it is there, serves the model and takes
adapters. Where it takes none, the run is left with the harness lever, and a sentence says so.
"""

from __future__ import annotations

import os
from pathlib import Path

from feedback_service.levers import serves_own_base, why_off
from shared.chat import Chat
from shared.errors import AdaptersUnsupportedError, ChatUnavailableError, SettingsError, UnknownModelError
from shared.settings import ModelSection, RunConfig
from shared.store import LocalStore

PROBE_S = 15.0
NO_KEY = "none"


def settle_levers(config: RunConfig) -> tuple[RunConfig, str]:
    """The config with the levers that its endpoint leaves, and a sentence where those are fewer than before.

    Raises SettingsError for an endpoint that can't be used, AdaptersUnsupportedError where no lever is left.
    """
    if not config.model.url:
        return config, ""
    loads_adapters = _probe(config.model)
    if config.run.levers == "harness" or (loads_adapters and not serves_own_base(config)):
        return config, ""
    why = why_off(config, "weights") or f"{config.model.url} can't load adapters: harness-only run"
    if config.run.levers == "weights":
        mend = (
            "run with --levers harness, or give an endpoint that loads adapters and its model as model.base"
        )
        raise AdaptersUnsupportedError(why, mend)
    run = config.run.model_copy(update={"levers": "harness"})
    model = config.model.model_copy(update={"base": "seed"})  # nobody needs the weights any more
    return config.model_copy(update={"run": run, "model": model}), why


def _probe(model: ModelSection) -> bool:
    """Does it load adapters? Raises SettingsError if it is not there, or does not serve that model."""
    key = os.environ.get(model.api_key_env) or NO_KEY
    nothing = LocalStore(Path(os.devnull))  # a probe stores no reply
    chat = Chat(model.url, nothing, api_key=key, timeout_s=PROBE_S, concurrency=1)
    try:
        names = _names(chat)
        if names and model.name not in names:
            mend = f"set model.name to one of: {', '.join(names[:8])}"
            raise SettingsError(f"{model.url} does not serve {model.name!r}", mend)
        return chat.loads_adapters()
    except ChatUnavailableError as error:
        raise SettingsError(error.message, "start it, or mend model.url; nothing was begun") from None
    finally:
        chat.close()


def _names(chat: Chat) -> list[str]:
    try:
        return chat.models()
    except UnknownModelError:  # it has no such list
        return []
