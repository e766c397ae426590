"""`ratchet.evaluate`: any release on the user's own instances, through the same services as a run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.api.own_task import Task
from ratchet.api.release import ReleaseHandle
from ratchet.api.run import overrides_of
from ratchet.runs import evaluate as evaluation
from ratchet.runs.folder import DEFAULT_ROOT
from shared.errors import LostInstancesError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Evaluation:
    """What was measured. `result` is what `ratchet eval --json` prints."""

    result: dict[str, Any]

    @property
    def mean(self) -> float | None:
        """The mean score over the instances that have one; None: none has."""
        found: float | None = self.result["score"]["mean"] if self.result.get("score") else None
        return found

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % of the mean, in units of the score."""
        score = self.result.get("score")
        return (score["low"], score["high"]) if score and score["low"] is not None else None

    @property
    def scores(self) -> pd.DataFrame:
        """A row an instance: score (NaN where it was lost), outcome, metrics. Raises ToolMissingError without
        pandas (extra `notebook`)."""
        from ratchet.api.frames import frame_of

        return frame_of(self.result["instances"], "id")

    def require_all(self) -> None:
        """Raises LostInstancesError where some instances have no score for reasons beyond the release."""
        if self.result["lost"]:
            raise LostInstancesError(self.result["why"], f"logs are in {self.result['logs']}")


def evaluate(
    task: str | Path | Task,
    release: str | ReleaseHandle,
    instances: Path | str | Iterable[Mapping[str, Any]],
    *,
    model: str | Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    root: Path | str = DEFAULT_ROOT,
) -> Evaluation:
    """Score a release on instances: a file (JSON lines, or what the task's data.py reads) or a list.

    release: RUN, RUN:GENERATION, "seed", or what `run.release(...)` gives. model, settings: as in
    `ratchet.run`. Raises SettingsError for what can't be evaluated; `require_all` says whether any was lost.
    """
    name = release.reference if isinstance(release, ReleaseHandle) else release
    folder = str(task.folder) if isinstance(task, Task) else str(task)
    overrides = overrides_of(model, None, settings)
    if isinstance(instances, Path | str):
        return Evaluation(evaluation.evaluate(folder, name, Path(instances), overrides, Path(root)))
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "instances.jsonl"
        lines = [json.dumps(dict(one), ensure_ascii=False) + "\n" for one in instances]
        file.write_text("".join(lines), encoding="utf-8")
        return Evaluation(evaluation.evaluate(folder, name, file, overrides, Path(root)))
