"""Engines behind the advisor's protocol: each makes a request's messages from the run's train traces, and
reads edits out of the reply. Everything after that is the same for all: budget, bounds, replay and gate.

An engine's module holds `messages(question)` and `read(text, question)`; the packages of others are optional.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from feedback_service.propose.advisor import reading
from feedback_service.propose.advisor.answer import schema
from feedback_service.propose.advisor.prompt import Question, render
from feedback_service.propose.advisor.reading import Read
from shared.errors import ToolMissingError
from shared.messages.records import JsonObject

OTHERS = {"gepa": "gepa_engine", "openevolve": "openevolve_engine"}


@dataclass(frozen=True)
class Engine:
    name: str
    messages: Callable[[Question], list[dict[str, str]]]
    read: Callable[[str, Question], Read]
    schema: JsonObject | None = None  # for a constrained decoder


def find(name: str) -> Engine:
    """Raises ToolMissingError where the engine's package is not installed."""
    if name not in OTHERS:
        return Engine("analysis", render, lambda text, question: reading.read(text), schema())
    try:
        module = importlib.import_module(f"feedback_service.propose.advisor.{OTHERS[name]}")
    except ImportError as error:
        raise ToolMissingError(
            f"advisor.engine {name!r} needs a package that is not installed ({error})",
            "pip install 'ratchet-sia[engines]'",
        ) from None
    return Engine(name, module.messages, module.read)
