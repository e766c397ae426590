"""Sets a release's evaluation beside the task's baselines, over all instances and group by group.

An instance may name a `group` (a matrix, a tissue), which then has intervals of its own. Differences are
paired: both were measured on the same instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.decisions.intervals import interval_json, metric_intervals
from shared.messages.records import JsonObject

WORDS = {
    "id",
    "instance",
    "score",
    "outcome",
    "detail",
    "ending",
}  # of an instance's row; the rest are metrics
Baselines = Mapping[str, Sequence[JsonObject]]  # by name: a row an instance


def compared(rows: Sequence[JsonObject], baselines: Baselines) -> JsonObject:
    """The part that `ratchet eval` adds to its result: baselines, and groups where instances name one."""
    groups: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if "group" in row["instance"]:
            groups.setdefault(str(row["instance"]["group"]), []).append(number)
    by_group = {name: _part(rows, baselines, numbers) for name, numbers in groups.items()}
    whole = _measured(rows, baselines, range(len(rows)))
    score = interval_json([row["score"] for row in rows if row["score"] is not None])
    return {"score": score, "baselines": whole} | ({"groups": by_group} if by_group else {})


def by_name(metrics: JsonObject) -> JsonObject:
    """Intervals nested by name: `official.mse_norm` becomes "official", "mse_norm"."""
    found: JsonObject = {}
    for name, interval in metrics.items():
        *path, last = name.split(".")
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[last] = interval
    return found


def _part(rows: Sequence[JsonObject], baselines: Baselines, numbers: Sequence[int]) -> JsonObject:
    chosen = [rows[number] for number in numbers if rows[number]["score"] is not None]
    metrics = metric_intervals(
        [{name: value for name, value in row.items() if name not in WORDS} for row in chosen]
    )
    return {
        **by_name(metrics),
        "score": interval_json([row["score"] for row in chosen]),
        "metrics": metrics,
        "baselines": _measured(rows, baselines, numbers),
    }


def _measured(rows: Sequence[JsonObject], baselines: Baselines, numbers: Sequence[int]) -> JsonObject:
    """Each baseline's intervals, and how far the release is above it."""
    return {
        name: {
            "score": interval_json([found[number]["score"] for number in numbers]),
            "metrics": metric_intervals([found[number].get("metrics", {}) for number in numbers]),
            "release_minus_it": interval_json(
                [
                    rows[number]["score"] - found[number]["score"]
                    for number in numbers
                    if rows[number]["score"] is not None
                ]
            ),
        }
        for name, found in baselines.items()
    }
