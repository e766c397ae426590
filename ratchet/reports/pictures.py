"""Draws a run's pictures with matplotlib (no display): arms by generation, train scores, best so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from ratchet.runs.findings import Findings

PANELS = {  # what is watched of a training's steps, and its unit
    "loss": "of the step",
    "reward": "mean of the step's samples",
    "kl": "nats a token from the base (k3)",
    "entropy": "nats a token",
    "length": "free tokens a sample",
    "norm": "of the gradient, before clipping",
}
COLOURS = {"base": "#6b7280", "harness": "#2563eb", "weights": "#d97706", "both": "#059669"}


LEAST_SHARE = 1e-4  # of what a test asks for: what is less is drawn there
SHOWN_PATHS = 10  # the last ones; more can't be told from each other


def draw_run(
    generations: list[dict[str, Any]],
    found: Findings,
    wealth: Mapping[int, Sequence[float]],
    curves: dict[int, dict[str, list[float]]],
    unit: str,
    folder: Path,
) -> list[dict[str, str]]:
    """All pictures of a run, as PNGs in the folder; returns file and caption of each."""
    draw_arms(generations, unit, folder / "arms.png")
    draw_train(found.scores, unit, folder / "train.png")
    draw_best(found.curve, unit, folder / "best.png")
    drawn = [
        {"file": "arms.png", "caption": "The four arms of each generation, with 95 % intervals"},
        {"file": "train.png", "caption": "Scores of train candidates by generation"},
        {"file": "best.png", "caption": "The best train score so far"},
    ]
    if wealth:
        draw_wealth(wealth, folder / "wealth.png")
        caption = "Evidence of each confirmation after each pair, as a share of what its test asks for"
        drawn.insert(1, {"file": "wealth.png", "caption": caption})
    if curves:
        draw_training(curves, folder / "training.png")
        numbers = ", ".join(map(str, sorted(curves)))
        caption = (
            f"Training of the adapters of generation {numbers}, by optimizer step. The steps' samples "
            "differ, so rewards and losses vary with them."
        )
        drawn.append({"file": "training.png", "caption": caption})
    return drawn


def draw_wealth(paths: Mapping[int, Sequence[float]], path: Path) -> None:
    """Evidence over pairs, a line a generation; 1 is where the test passes."""
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    for number, values in list(paths.items())[-SHOWN_PATHS:]:
        shares = [max(value, LEAST_SHARE) for value in values]
        axes.plot(range(1, len(shares) + 1), shares, label=f"generation {number}")
    axes.axhline(1.0, color="#059669", linestyle="--")
    axes.set(xlabel="pairs of fresh instances", ylabel="evidence / asked for", yscale="log")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    _save(figure, path)


def draw_arms(generations: list[dict[str, Any]], unit: str, path: Path) -> None:
    """Four arms a generation, as its screen measured them, with intervals; green where one was promoted."""
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for offset, (arm, colour) in enumerate(COLOURS.items()):
        rows = [(g["generation"], g["arms"][arm]) for g in generations if g["arms"][arm]]
        if not rows:
            continue
        x = [generation + 0.16 * (offset - 1.5) for generation, _ in rows]
        means = [interval["mean"] for _, interval in rows]
        spread = [
            [interval["mean"] - interval["low"] for _, interval in rows],
            [interval["high"] - interval["mean"] for _, interval in rows],
        ]
        axes.errorbar(x, means, yerr=spread, fmt="o", color=colour, label=arm, capsize=3)
    for generation in generations:
        if generation["gate"]["decision"] == "promoted":
            axes.axvspan(
                generation["generation"] - 0.45, generation["generation"] + 0.45, color="#d1fae5", zorder=0
            )
    axes.set(xlabel="generation (green: promoted)", ylabel="score")
    axes.set_title(unit, fontsize=9, loc="left", pad=26)
    axes.set_xticks([g["generation"] for g in generations])
    if axes.get_legend_handles_labels()[0]:  # none where no arm could be scored, as without a device
        axes.legend(ncols=4, frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.16))
    _save(figure, path)


def draw_train(scores: dict[int, list[float]], unit: str, path: Path) -> None:
    """Scores of every tried candidate of the train rollouts: a box a generation."""
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    filled = {generation: values for generation, values in scores.items() if values}
    if filled:
        axes.boxplot(list(filled.values()), tick_labels=[str(g) for g in filled], showmeans=True)
    axes.set(xlabel="generation", ylabel="score")
    axes.set_title(f"tried train candidates: {unit}", fontsize=9, loc="left")
    _save(figure, path)


def draw_best(curve: list[float], unit: str, path: Path) -> None:
    """The best value so far against the number of evaluated candidates."""
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    best, so_far = [], float("-inf")
    for value in curve:
        so_far = max(so_far, value)
        best.append(so_far)
    axes.plot(range(1, len(curve) + 1), curve, ".", color="#cbd5e1", markersize=3)
    axes.plot(range(1, len(best) + 1), best, color="#059669")
    axes.set(xlabel="evaluated train candidates", ylabel="score")
    axes.set_title(f"best so far: {unit}", fontsize=9, loc="left")
    _save(figure, path)


def draw_training(curves: dict[int, dict[str, list[float]]], path: Path) -> None:
    """What was watched while training, step by step: a panel each, a line a generation."""
    names = [name for name in PANELS if any(name in series for series in curves.values())]
    figure, grid = plt.subplots(
        len(names) // 2 + len(names) % 2, 2, figsize=(8, 1.9 * len(names) / 2 + 1), layout="constrained"
    )
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, names, strict=False):
        for generation, series in curves.items():
            if name in series:
                axes.plot(range(1, len(series[name]) + 1), series[name], label=f"generation {generation}")
        axes.set_title(f"{name}, {PANELS[name]}", fontsize=9, loc="left")
    grid.flat[0].legend(frameon=False, fontsize=7)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110)
    plt.close(figure)
