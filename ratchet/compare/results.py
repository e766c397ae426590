"""The results of a comparison: sealed scores by arm and seed, cost, and which pairs of arms differ.

Two arms are paired by seed and instance: one difference a seed (the mean over the sealed instances that both
scored), a t-test over seeds, p-values corrected for the number of pairs by Holm's method.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from ratchet.compare.arms import BASE
from ratchet.runs.folder import RunFolder
from shared.decisions.intervals import interval_json
from shared.ledger.history import RunHistory, fold
from shared.store.store import get_json

Scores = dict[str, float]  # by sealed instance


def read_results(folders: Mapping[tuple[str, int], RunFolder]) -> dict[str, Any]:
    """`--json` of a comparison."""
    runs = []
    sealed: dict[str, dict[int, Scores]] = {}
    for (arm, seed), folder in sorted(folders.items()):
        history = fold(folder.open_ledger().events(folder.run_id))
        first, last = sealed_scores(folder, history)
        sealed.setdefault(arm, {})[seed] = last
        sealed.setdefault(BASE, {}).setdefault(seed, first)
        runs.append(_row(arm, seed, history, last))
    means = {arm: [_mean(scores) for scores in seeds.values()] for arm, seeds in sealed.items()}
    return {
        "runs": runs,
        "arms": {arm: interval_json(found) for arm, found in means.items()},
        "pairs": compared_pairs(sealed),
    }


def sealed_scores(folder: RunFolder, history: RunHistory) -> tuple[Scores, Scores]:
    """Of the first and of the last release; the same where nothing was promoted. Empty: no sealed test."""
    if history.test is None:
        return {}, {}
    test = get_json(folder.open_store(), history.test)
    instances, scored = test["instances"], test["scores"]
    by_arm = {arm: dict(zip(instances, scores, strict=True)) for arm, scores in scored.items()}
    return by_arm["first"], by_arm.get("last", by_arm["first"])


def compared_pairs(sealed: Mapping[str, Mapping[int, Scores]]) -> list[dict[str, Any]]:
    """A row for each pair of arms, the later one minus the earlier one."""
    rows = []
    for earlier, later in combinations(sorted(sealed, key=lambda arm: (arm != BASE, arm)), 2):
        differences = []
        for seed in sorted(sealed[earlier].keys() & sealed[later].keys()):
            mine, theirs = sealed[later][seed], sealed[earlier][seed]
            shared = mine.keys() & theirs.keys()
            if shared:
                differences.append(math.fsum(mine[one] - theirs[one] for one in shared) / len(shared))
        about = {"arm": later, "minus": earlier, "difference": interval_json(differences)}
        rows.append({**about, "p": t_test(differences), "by_seed": differences})
    return _corrected(rows)


def t_test(differences: list[float]) -> float | None:
    """Two-sided p-value of a mean difference of zero, over seeds; None: fewer than two seeds or no spread."""
    if len(differences) < 2 or np.ptp(differences) == 0:
        return None
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down correction (Scand. J. Statist. 6, 1979): smallest times n, next times n - 1."""
    corrected, most = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values)):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = most
    return corrected


def _corrected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    tested = [row for row in rows if row["p"] is not None]
    for row, p_value in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p_value
    return rows


def _row(arm: str, seed: int, history: RunHistory, last: Scores) -> dict[str, Any]:
    curve, spent, promoted = [], 0, 0
    for generation in history.generations:
        spent += generation.cost.evaluations
        promoted += generation.decision == "promoted"
        curve.append({"evaluations": spent, "promoted": promoted})
    return {
        "arm": arm,
        "seed": seed,
        "run": history.run_id,
        "state": history.state,
        "sealed": _mean(last) if last else None,
        "instances": len(last),
        "promoted": len(history.promotions),
        "generations": len(history.generations),
        "cost": history.cost.model_dump(mode="json"),
        "wall_s": history.elapsed_s,
        "curve": curve,
    }


def _mean(scores: Scores) -> float:
    return math.fsum(scores.values()) / len(scores) if scores else math.nan
