"""What an arm of a comparison needs, asked before anything is paid for."""

from __future__ import annotations

from ratchet.compare.arms import CompareArm
from ratchet.compare.baseline import require_baseline
from ratchet.compare.search import read_space
from ratchet.runs.endpoint import settle
from ratchet.runs.request import check_config
from shared.config.settings import RunConfig
from shared.errors import SettingsError
from shared.tasks.task import task_of


def require_possible(arm: CompareArm, config: RunConfig, begun: bool) -> None:
    """Raises SettingsError, AdaptersUnsupportedError where the endpoint has no such lever. `begun`: all of
    the arm's runs are there already, and their endpoint was asked."""
    task = task_of(config)
    check_config(task, config)  # a file of the user's has its own settings
    if arm.is_search:
        read_space(task)
    if arm.baseline:
        require_baseline(arm.baseline, task)
    if arm.has_base and not begun:
        _require_levers(arm, config)


def _require_levers(arm: CompareArm, config: RunConfig) -> None:
    """A run alone goes on with one lever and says so; in a table it would stand under the name of two."""
    settled, notes = settle(config, task_of(config))
    if settled.run.levers != config.run.levers:
        raise SettingsError(
            f"the arm {arm.name} would pull the {settled.run.levers} alone: {'; '.join(notes)}",
            "leave it out of --arms",
        )
