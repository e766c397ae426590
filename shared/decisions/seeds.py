"""Seeds of all rollouts and proposals, derived from the run's seed and never from its name: two runs with
equal configs decide alike."""

from __future__ import annotations

from shared.config.settings import RunConfig
from shared.messages.records import Purpose, derive_seed


def instance_seed(config: RunConfig, generation: int, purpose: Purpose, round_: int = 0) -> int:
    """Which instances a rollout draws. The sealed test's depend on the run's seed alone."""
    return derive_seed(config.run.seed, generation, purpose, round_, "instances")


def attempt_seeds(
    config: RunConfig, generation: int, purpose: Purpose, round_: int, count: int
) -> tuple[int, ...]:
    """Seeds of the attempts on each instance; the same for every arm."""
    return tuple(derive_seed(config.run.seed, generation, purpose, round_, index) for index in range(count))


def update_seed(config: RunConfig, generation: int) -> int:
    return derive_seed(config.run.seed, generation, "weights")


def answers_seed(config: RunConfig, generation: int) -> int:
    return derive_seed(config.run.seed, generation, "answers")


def design_seed(config: RunConfig, generation: int, rung: int) -> int:
    return derive_seed(config.run.seed, generation, "design", rung)


def levers_seed(config: RunConfig, generation: int) -> int:
    return derive_seed(config.run.seed, generation, "levers")


def patch_seed(config: RunConfig, generation: int) -> int:
    return derive_seed(config.run.seed, generation, "harness")
