"""Sends the endpoints of a run, before it begins, one real request each: whether they are reachable, admit
the key and serve the model, which options they need, what they cost. The findings are frozen into the run's
config, with a sentence for each change of a setting."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, TypeVar

from shared.config.settings import EndpointSection, RunConfig, load_config
from shared.decisions.levers import serves_own_base, why_off
from shared.errors import AdaptersUnsupportedError, SettingsError, ToolMissingError
from shared.model.options import STREAMED
from shared.model.prices import look_up
from shared.tasks.task import Task

if TYPE_CHECKING:
    from ratchet.runs.endpoint_probe import Found
    from ratchet.runs.folder import RunFolder

MAX_TOKENS = 256
S = TypeVar("S", bound=EndpointSection)


def settle(config: RunConfig, task: Task | None = None) -> tuple[RunConfig, list[str]]:
    """The config as its endpoints need it, and a sentence for each change. `task`: its scaffold will send the
    requests, with its limit of tokens. Raises SettingsError for an endpoint that can't be used,
    AdaptersUnsupportedError where no lever is left."""
    notes: list[str] = []
    if config.advisor.url or config.model.url:
        config = _asked(config, task, notes)
    if config.budget.usd:
        _require_prices(config)
    return config, notes


def _asked(config: RunConfig, task: Task | None, notes: list[str]) -> RunConfig:
    if config.advisor.url:
        _require_engine(config.advisor.engine)
        advisor = settled(
            config.advisor,
            "advisor",
            _found(config.advisor, "advisor", config.advisor.max_tokens, with_schema=True),
            notes,
        )
        config = config.model_copy(update={"advisor": advisor})
    if config.model.url:
        scaffold = (task.folder / "harness" / "scaffold.py").read_text(encoding="utf-8") if task else ""
        max_tokens = task.manifest.attempt.max_tokens if task else MAX_TOKENS
        found = _found(config.model, "model", max_tokens, with_schema="schema" in scaffold)
        config = config.model_copy(update={"model": settled(config.model, "model", found, notes)})
        config = _settle_levers(config, notes)
    return config


def _found(section: EndpointSection, name: str, max_tokens: int, with_schema: bool) -> Found:
    """Of an endpoint before a run. Raises SettingsError, and then nothing was begun."""
    from ratchet.runs.endpoint_probe import UnusableEndpointError, examine  # openai

    try:
        return examine(section, name, max_tokens, with_schema)
    except UnusableEndpointError as error:
        error.hint = "; ".join(filter(None, (error.hint, "nothing was begun")))
        raise


def _require_engine(name: str) -> None:
    if name != "analysis" and importlib.util.find_spec(name) is None:
        raise ToolMissingError(
            f"advisor.engine is {name}, and that package is not installed",
            "pip install 'ratchet-sia[engines]'",
        )


def settled(section: S, name: str, found: Found, notes: list[str]) -> S:
    """The section as its endpoint was found to need it."""
    notes += found.notes
    changes: dict[str, object] = {
        "url": found.url,
        "omit": tuple(sorted(found.options.omit)),
        "max_tokens_name": found.options.max_tokens_name,
    }
    if found.options.added.get("stream"):
        changes["extra_body"] = section.extra_body | STREAMED
    price = look_up(found.url, section.name)
    if price and section.usd_prompt is None and section.usd_completion is None:
        changes |= {"usd_prompt": price.prompt, "usd_completion": price.completion}
        notes.append(
            f"{name}: {section.name} costs ${price.prompt:g} a million prompt tokens and "
            f"${price.completion:g} a million of its own (list price; {name}.usd_prompt and "
            f"{name}.usd_completion override it)"
        )
    return section.model_copy(update=changes)


def with_list_prices(config: RunConfig) -> RunConfig:
    """For a plan, which asks no endpoint."""
    sections = {"model": _listed(config.model), "advisor": _listed(config.advisor)}
    return config.model_copy(update=sections)


def _listed(section: S) -> S:
    known = section.usd_prompt is not None or section.usd_completion is not None
    price = look_up(section.url, section.name) if section.url and not known else None
    if price is None:
        return section
    return section.model_copy(update={"usd_prompt": price.prompt, "usd_completion": price.completion})


def require_answers(config: RunConfig) -> None:
    """Before a paused run continues. Raises SettingsError where its endpoint still can't be used."""
    if config.model.url:
        from ratchet.runs.endpoint_probe import examine  # openai

        examine(config.model, "model", MAX_TOKENS)


def move(folder: RunFolder, url: str) -> None:
    """From now on the run asks its endpoint at this address; replies that it has stay its own. Raises
    SettingsError where the run asks none, or where this one can't be used: nothing is changed then."""
    from ratchet.runs.endpoint_probe import examine  # openai

    config = folder.config()
    if not config.model.url:
        raise SettingsError(
            f"{folder.run_id} asks no endpoint of yours: Ratchet serves its model", "leave --model-url out"
        )
    if folder.stack:
        raise SettingsError(
            f"{folder.run_id} is in the stack {folder.stack}, whose workers know its address from its config",
            f"start a run from its release: `ratchet run TASK --from {folder.run_id} --set model.url=URL`",
        )
    moved = load_config([config.model_dump(mode="json"), {"model": {"url": url}}])
    folder.move_parts(moved_model_url=examine(moved.model, "model", MAX_TOKENS).url)


def _settle_levers(config: RunConfig, notes: list[str]) -> RunConfig:
    from ratchet.runs.endpoint_probe import why_no_adapters  # openai

    if config.run.levers == "harness":
        return config
    why = why_off(config, "weights")
    if not why and (refused := why_no_adapters(config.model)):
        why = f"{refused}: harness-only run"
    if not why and not serves_own_base(config):
        return config
    if config.run.levers == "weights":
        hint = (
            "run with --levers harness, or give an endpoint that loads adapters and its model as model.base"
        )
        raise AdaptersUnsupportedError(why, hint)
    notes.append(why)
    run = config.run.model_copy(update={"levers": "harness"})
    return without_base(config.model_copy(update={"run": run}))


def without_base(config: RunConfig) -> RunConfig:
    """A run that asks an endpoint and pulls the harness alone needs no files of the model: none are made."""
    if not config.model.url or config.run.levers != "harness":
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"base": "seed"})})


def _require_prices(config: RunConfig) -> None:
    """Raises SettingsError for a cap on money without a known price: it could never be reached."""
    for name, section in (("model", config.model), ("advisor", config.advisor)):
        if section.url and section.usd_prompt is None and section.usd_completion is None:
            raise SettingsError(
                f"budget.usd is set, and no price is known of {section.name} at {section.url}",
                f"set {name}.usd_prompt and {name}.usd_completion (US dollars a million tokens; 0: free)",
            )
