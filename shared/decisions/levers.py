"""The levers that a run may pull, and why one is off."""

from __future__ import annotations

from shared.config.settings import RunConfig
from shared.ledger.history.state import Generation
from shared.messages.records import ARMS, Arm
from shared.messages.records import Lever as Lever

LEVERS: tuple[Lever, ...] = ("harness", "weights")


def serves_own_base(config: RunConfig) -> bool:
    """Whether the endpoint serves a model that Ratchet has no files of: nothing can be trained for it."""
    return bool(config.model.url) and config.model.base == "seed"


def levers_in_use(config: RunConfig) -> tuple[Lever, ...]:
    return tuple(lever for lever in LEVERS if not why_off(config, lever))


def levers_of(config: RunConfig, generation: Generation) -> tuple[Lever, ...]:
    """The levers that a generation pulls: those that were chosen for it, or all that the config allows."""
    train = generation.rollouts.get(("train", 0))
    return (train.opened.levers if train else ()) or levers_in_use(config)


def why_off(config: RunConfig, lever: Lever) -> str:
    """Why a lever is not pulled; empty if it is."""
    if config.run.levers not in ("both", "auto", lever):
        return f"the run pulls the {config.run.levers} lever alone"
    if lever == "weights" and serves_own_base(config):
        return (
            f"{config.model.url} serves its own model, which can't take adapters from here: harness-only run"
        )
    return ""


def arms_in_use(config: RunConfig) -> tuple[Arm, ...]:
    levers = levers_in_use(config)
    return ARMS if levers == LEVERS else ("base", *levers)
