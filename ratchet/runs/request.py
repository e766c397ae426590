"""The request behind `ratchet run` as one value (config, place, name, data), resolved here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ratchet.runs import parts
from ratchet.tasks.task_data import check_settings
from shared.config.settings import (
    ModelSection,
    RunConfig,
    StackParts,
    TrainingSection,
    load_config,
    read_toml,
)
from shared.errors import SettingsError
from shared.harness.bundle import PatchRefused, with_knobs
from shared.harness.folder import read_harness
from shared.harness.scaffold_check import has_function
from shared.messages.records import JsonObject, Release
from shared.store.store import Store
from shared.store.trust import Trust
from shared.tasks.task import Task, find_task, load_task, with_limits
from trainer_service.algorithms import ALGORITHMS

Override = str | Mapping[str, Any]  # `gate.alpha=0.01`, or sections of a config as nested tables


@dataclass(frozen=True)
class Origin:
    """A release of another run. `name`: RUN:GENERATION, or RUN for its live one."""

    name: str
    release: Release
    config: RunConfig
    store: Store
    trust: Trust  # who signed its adapter
    posted: Sequence[JsonObject] = ()  # train instances that scores posted there had made


@dataclass(frozen=True)
class RunRequest:
    """`label`: the task's name, which numbers runs without a name. `stack`: a standing stack that does the
    work; None: the run starts a stack of its own. `data`: what the task's data.py imports for this run."""

    config: RunConfig
    label: str
    root: Path
    name: str = ""
    parts: StackParts = field(default_factory=StackParts)
    data: Path | None = None
    stack: Path | None = None
    flower_port: int | None = None
    origin: Origin | None = None  # the release that it starts from, in the place of the task's own


def make_request(
    task: str,
    *,
    file: Path | None = None,
    overrides: Sequence[Override] = (),
    levers: str | None = None,
    inherited: dict[str, Any] | None = None,
    parts_flags: Mapping[str, str | None] | None = None,
    **fields: Any,
) -> RunRequest:
    """What a user asks for, resolved; nothing is begun. `inherited`: as in resolve_config; `parts_flags`:
    URLs of the run's ledger, store and broker by their name; `fields`: of RunRequest. Raises RatchetError."""
    config = resolve_config(task, file, overrides, levers, inherited)
    chosen = parts.resolve(file, overrides, **(parts_flags or {}))
    return RunRequest(config, load_task(config.run.task).name, parts=chosen, **fields)


def resolve_config(
    task: str,
    file: Path | None,
    overrides: Sequence[Override],
    levers: str | None,
    inherited: dict[str, Any] | None = None,
) -> RunConfig:
    """Task defaults, what is inherited from another run, then the user's file, then --set and --levers.
    Raises SettingsError."""
    loaded = find_task(task)
    layers: list[dict[str, Any]] = [
        loaded.manifest.defaults,
        inherited or {},
        read_toml(file) if file else {},
    ]
    layers += parts.layers(overrides)
    layers = [parts.without_section(layer) for layer in layers]
    layers.append({"run": {"task": loaded.reference} | ({"levers": levers} if levers else {})})
    config = load_config(layers)
    check_config(loaded, config)
    return config


def check_config(loaded: Task, config: RunConfig) -> None:
    """Raises SettingsError for settings that the task does not have or that make no sense for it."""
    check_settings(loaded, config)
    _require_algorithm(loaded, config.training)
    _require_served(config.model)
    width = loaded.manifest.score.high - loaded.manifest.score.low
    if config.gate.no_worse_margin > width / 2:
        raise SettingsError(
            f"gate.no_worse_margin is {config.gate.no_worse_margin:g}, and the whole score has {width:g}",
            "a twentieth of the score's range is a usual margin; 0 asks for gains alone",
        )
    with_limits(loaded, config.attempt)
    try:
        with_knobs(read_harness(loaded.folder / "harness"), config.harness)
    except PatchRefused as error:
        raise SettingsError(f"harness: {error.message}", "knobs are in the task's harness.toml") from None


def _require_served(model: ModelSection) -> None:
    """Raises SettingsError for a parameter that Ratchet's own server does not know: it would refuse every
    request."""
    given = {"stop": model.stop, "reasoning_effort": model.reasoning_effort, "extra_body": model.extra_body}
    for name, value in given.items():
        if value and not model.url:
            raise SettingsError(
                f"model.{name}: Ratchet's own server, which a run without model.url uses, does not take it",
                "leave it out, or serve the model yourself and give model.url",
            )


def _require_algorithm(task: Task, training: TrainingSection) -> None:
    """Raises SettingsError for a pinned algorithm that no weight update of the run could use."""
    name, known = training.algorithm, ", ".join(("auto", *sorted(ALGORITHMS)))
    if name != "auto" and name not in ALGORITHMS:
        raise SettingsError(f"training.algorithm: unknown algorithm {name!r}", f"known: {known}")
    if name != "auto" and ALGORITHMS[name].imitates:
        verifier = (task.folder / "verifier.py").read_bytes()
        why = "" if has_function(verifier, "answers") else f"task {task.name!r} tells no right answers"
        why = why or ("" if training.demonstrations else "training.demonstrations is 0")
        if why:
            raise SettingsError(f"training.algorithm is {name}, and {why}", f"known: {known}")
