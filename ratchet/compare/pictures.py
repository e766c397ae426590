"""Pictures of a comparison, drawn by matplotlib without a display: sealed scores by arm; confirmed gains and
train candidates over the evaluations spent, with bands over seeds.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from ratchet.compare.candidates import RECENT
from shared.messages.records import JsonObject

STEPS = 200  # points of a curve
Curve = tuple[list[int], np.ndarray]  # evaluations, and the value that holds from each on


def draw_sealed(result: JsonObject, path: Path) -> None:
    """A row an arm: the mean with its interval over seeds, and a dot a seed."""
    arms = [arm for arm, found in result["arms"].items() if found["mean"] is not None]
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(arms) + 1.2), layout="constrained")
    for place, arm in enumerate(arms):
        found = result["arms"][arm]
        seeds = [row["sealed"] for row in result["runs"] if row["arm"] == arm and row["sealed"] is not None]
        axes.plot(seeds, [place] * len(seeds), "o", color="#94a3b8", markersize=4)
        axes.plot(found["mean"], place, "D", color="#059669")
        if found["low"] is not None:
            axes.hlines(place, found["low"], found["high"], color="#059669")
    axes.set_yticks(range(len(arms)), arms)
    axes.invert_yaxis()
    axes.set(xlabel="sealed test (diamond: mean, line: 95 % interval over seeds, dot: a seed)")
    _save(figure, path)


def draw_candidates(result: JsonObject, path: Path) -> None:
    """The gain that the gate confirmed, the best train candidate so far, and the mean of the last ones, over
    evaluations: the mean over seeds, and a band of one standard error."""
    figure, (gain, best, recent) = plt.subplots(1, 3, figsize=(16, 4), layout="constrained", sharex=True)
    for number, arm in enumerate(dict.fromkeys(row["arm"] for row in result["runs"])):
        rows, color = [row for row in result["runs"] if row["arm"] == arm], f"C{number}"
        _curve(gain, arm, color, [gain_curve(row) for row in rows if "promotions" in row])
        found = [row["candidates"] for row in rows if "candidates" in row and row["candidates"]["scores"]]
        highest = [(one["evaluations"], np.maximum.accumulate(one["scores"])) for one in found]
        _curve(best, arm, color, highest)
        _curve(recent, arm, color, [(one["evaluations"], _recent_mean(one["scores"])) for one in found])
    gain.set(title="gain confirmed by the gate, promotions added up", xlabel="evaluations", ylabel="score")
    best.set(title="best train candidate so far", xlabel="evaluations")
    recent.set(title=f"mean of the last {RECENT} train candidates", xlabel="evaluations")
    for axes in (gain, best, recent):
        if axes.lines:
            axes.legend(frameon=False)
    _save(figure, path)


def gain_curve(row: JsonObject) -> Curve:
    """Of a run: 0 until its first promotion, then the gains of its promotions so far. A promotion that showed
    no loss alone has none."""
    gains = [found["gain"]["mean"] if found["gain"] else 0.0 for found in row["promotions"]]
    reached = np.concatenate([[0.0], np.cumsum(gains)])
    spent = [0, *(found["evaluations"] for found in row["promotions"]), row["cost"]["evaluations"]]
    return spent, np.append(reached, reached[-1])


def _curve(axes: Axes, arm: str, color: str, curves: list[Curve]) -> None:
    """Each seed's curve as steps on one grid, as far as all of them reach back."""
    if not curves:
        return
    first, last = max(x[0] for x, _ in curves), max(x[-1] for x, _ in curves)
    grid = np.linspace(first, last, STEPS)
    values = np.stack([y[np.searchsorted(x, grid, side="right") - 1] for x, y in curves])
    mean = values.mean(axis=0)
    axes.plot(grid, mean, label=arm, color=color)
    if len(curves) > 1:
        error = values.std(axis=0, ddof=1) / np.sqrt(len(curves))
        axes.fill_between(grid, mean - error, mean + error, color=color, alpha=0.15)


def _recent_mean(scores: list[float]) -> np.ndarray:
    sums = np.concatenate([[0.0], np.cumsum(scores)])
    ends = np.arange(1, len(scores) + 1)
    starts = np.maximum(ends - RECENT, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def _save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=110)
    plt.close(figure)
