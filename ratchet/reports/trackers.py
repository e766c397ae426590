"""A run's training curves handed on to an experiment tracker: trackio or MLflow, where that is installed.
Reads the ledger and the store, like a report; handlers know of no tracker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ratchet.reports.show import show_run
from ratchet.reports.training import curves_by_generation
from ratchet.runs.folder import RunFolder
from shared.errors import SettingsError, ToolMissingError

Steps = list[dict[str, float]]  # what was watched, by name, of each step


def export_curves(folder: RunFolder, tracker: str) -> list[str]:
    """One experiment run a trained adapter, named RUN-gN; returns their names. Raises SettingsError,
    ToolMissingError."""
    if tracker not in TRACKERS:
        raise SettingsError(f"unknown tracker {tracker!r}", f"known: {', '.join(sorted(TRACKERS))}")
    shown = show_run(folder)
    curves = curves_by_generation(shown)
    if not curves:
        raise SettingsError(f"run {folder.run_id} has trained no adapter with curves yet")
    names = []
    for generation, series in curves.items():
        names.append(f"{folder.run_id}-g{generation}")
        weights = next(row for row in shown["generations"] if row["generation"] == generation)
        facts = weights["proposals"]["weights"]["metrics"]
        try:
            TRACKERS[tracker](shown["task"], names[-1], facts, steps_of(series))
        except ImportError:
            raise ToolMissingError(f"{tracker} is not installed", f"pip install {tracker}") from None
    return names


def steps_of(series: dict[str, list[float]]) -> Steps:
    count = max(map(len, series.values()), default=0)
    return [{name: values[i] for name, values in series.items()} for i in range(count)]


def to_trackio(project: str, name: str, facts: dict[str, float], steps: Steps) -> None:
    import trackio

    trackio.init(project=project, name=name, config=facts)
    for number, watched in enumerate(steps, start=1):
        trackio.log(watched, step=number)
    trackio.finish()


def to_mlflow(project: str, name: str, facts: dict[str, float], steps: Steps) -> None:
    """Where MLFLOW_TRACKING_URI points."""
    import mlflow

    mlflow.set_experiment(project)
    with mlflow.start_run(run_name=name):
        mlflow.log_params(facts)
        for number, watched in enumerate(steps, start=1):
            mlflow.log_metrics(watched, step=number)


TRACKERS: dict[str, Callable[[str, str, dict[str, Any], Steps], None]] = {
    "mlflow": to_mlflow,
    "trackio": to_trackio,
}
