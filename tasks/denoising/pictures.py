"""Pictures for a run's report.

    pictures.py TASK_FOLDER OUT_DIR < {"instances": [..], "best": program or null}

Scores of the best program beside the baselines', cells before and after on a UMAP, and a known pair of genes
before and after. Prints a JSON list of {"file", "caption"}.
"""

import json
import sys
from pathlib import Path

import baselines
import boxed
import matplotlib
import matrices
import numpy as np
import verifier

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SPLITS = 5  # that the scores are measured on
MOST_CELLS = 600  # on a UMAP
CLUSTERS = 6
T_95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}  # half widths of a 95 % interval, in standard errors, by n
PAIRS = (  # genes that are known to be expressed by the same cells
    ("LYZ", "S100A9"),
    ("NKG7", "GNLY"),
    ("CD79A", "MS4A1"),
    ("CD3D", "IL32"),
    ("Plp1", "Mbp"),
    ("Gad1", "Gad2"),
)
BEST = "best program"


def main(out, instances, best):
    shown = []
    if instances:
        few = _spread(instances)
        shown += [scores(out, few, best), cells(out, few[0], best), genes(out, few[0], best)]
    return [picture for picture in shown if picture]


def _spread(instances):
    """A few instances, of as many matrices as there are."""
    by_matrix = {}
    for instance in instances:
        by_matrix.setdefault(instance["matrix"], []).append(instance)
    turns = [row for rows in zip(*by_matrix.values(), strict=False) for row in rows] or instances
    return turns[:SPLITS]


def scores(out, instances, best):
    """Each method's scores on the same kind of split, their mean and its interval."""
    rows = [baselines.evaluated(instance) for instance in instances]
    found = {name: [row[name]["score"] for row in rows] for name in baselines.METHODS}
    if best is not None:
        found = {BEST: [_score(best, instance) for instance in instances], **found}
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for place, (name, values) in enumerate(reversed(found.items())):
        colour = "#059669" if name == BEST else "#6b7280"
        axes.plot(values, [place] * len(values), ".", color=colour, alpha=0.4)
        half = (
            T_95.get(len(values), 2.0) * np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0
        )
        axes.errorbar(np.mean(values), place, xerr=half, fmt="o", color=colour, capsize=3)
    axes.set_yticks(range(len(found)), list(reversed(found)))
    axes.axvline(0, color="#9ca3af", linewidth=0.8)
    axes.set_xlabel("score (0: library size x gene mean)")
    return _saved(
        figure, out, "scores.png", f"Scores on {len(instances)} test instances, with 95 % intervals."
    )


def _score(best, instance):
    inputs = verifier.make_inputs(instance, np.random.default_rng())
    try:
        estimate = boxed.denoised(best, inputs["counts"])
    except Exception as failure:  # a program that fails on this block: data, as in a run
        print(f"the best program failed on {instance['id']}: {failure}", file=sys.stderr)
        return verifier.measures.LOWEST
    return verifier.evaluation(estimate, inputs["counts"], inputs["held_out"])["score"]


def _before_and_after(instance, best):
    """(names of genes, counts, {title: dense counts}) of as many of the matrix's cells as a picture takes."""
    split = instance["split"]
    wanted = min(MOST_CELLS, len(matrices.pool(instance["matrix"], split)))
    whole = instance | {"cells": wanted, "round": 0, "place": 0}
    counts, names = matrices.matrix(instance["matrix"])
    counts = counts[matrices.cells_of(whole)]
    present = np.flatnonzero(np.asarray(counts.sum(axis=0)).ravel() > 0)
    counts = counts[:, present]
    views = {"counts": counts.toarray()}
    if best is not None:
        try:
            views["denoised by the best program"] = boxed.denoised(best, counts)
        except Exception as failure:
            print(f"the best program failed: {failure}", file=sys.stderr)
    return [names[i] for i in present] if names else [], counts, views


def cells(out, instance, best):
    """UMAP of cells before and after, coloured by clusters of the counts."""
    import umap
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    _, _, views = _before_and_after(instance, best)
    depth = float(np.median(views["counts"].sum(axis=1)))
    places = {
        name: PCA(15, random_state=0).fit_transform(verifier.measures.log_scaled(values, depth))
        for name, values in views.items()
    }
    colours = KMeans(CLUSTERS, n_init=4, random_state=0).fit_predict(places["counts"])
    figure, axes = plt.subplots(
        1, len(places), figsize=(4.2 * len(places), 3.8), layout="constrained", squeeze=False
    )
    for axis, (name, points) in zip(axes[0], places.items(), strict=True):
        flat = umap.UMAP(random_state=0, n_jobs=1).fit_transform(points)
        axis.scatter(*flat.T, c=colours, s=5, cmap="tab10")
        axis.set(title=name, xticks=[], yticks=[])
    caption = (
        f"UMAP of {len(colours)} cells of {instance['matrix']}; colours are clusters of the counts. "
        "It shows what a program does to the cells, not how good it is."
    )
    return _saved(figure, out, "cells.png", caption)


def genes(out, instance, best):
    """A pair of genes that the same cells are known to express, before and after."""
    names, _, views = _before_and_after(instance, best)
    pair = next((pair for pair in PAIRS if set(pair) <= set(names)), None)
    if pair is None:
        return None
    columns = [names.index(name) for name in pair]
    figure, axes = plt.subplots(
        1, len(views), figsize=(4.2 * len(views), 3.8), layout="constrained", squeeze=False
    )
    for axis, (title, values) in zip(axes[0], views.items(), strict=True):
        x, y = (values[:, column] for column in columns)
        axis.plot(x, y, ".", color="#2563eb", markersize=4, alpha=0.5)
        correlation = np.corrcoef(x, y)[0, 1] if x.std() and y.std() else 0.0
        axis.set(title=f"{title}, r = {correlation:.2f}", xlabel=pair[0], ylabel=pair[1])
    return _saved(figure, out, "genes.png", f"{pair[0]} and {pair[1]}, expressed by the same cells.")


def _saved(figure, out, name, caption):
    figure.savefig(Path(out) / name, dpi=110)
    plt.close(figure)
    return {"file": name, "caption": caption}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    with baselines.own_stdout() as answer:
        json.dump(main(sys.argv[2], asked["instances"], asked["best"]), answer)
