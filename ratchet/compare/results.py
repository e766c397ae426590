"""The results of a comparison: sealed scores by arm and seed, cost, and which pairs of arms differ.

Two arms are paired by seed and instance: one difference a seed (the mean over the sealed instances that both
scored), a t-test over seeds, p-values corrected for the number of pairs by Holm's method. Finished runs that
are set beside each other are paired by instance alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import stats

from ratchet.compare.arms import BASE, CompareArm
from ratchet.compare.candidates import loop_candidates, search_candidates
from ratchet.compare.outcome import read_outcome
from ratchet.compare.study import Study, folder_name, order
from ratchet.runs.folder import RunFolder, find
from shared.decisions.intervals import interval_json
from shared.errors import SettingsError
from shared.ledger.history.folding import fold
from shared.ledger.history.state import RunHistory
from shared.messages.evidence import GateRecord
from shared.messages.records import JsonObject
from shared.store.store import Store, get_json, get_record
from shared.tasks.task import task_of

Scores = dict[str, float]  # by sealed instance
SealedScores = dict[str, dict[int, Scores]]  # by arm and seed
TIMED = ("c", "cuda")  # toolchains whose scores are times


def read_study(study: Study) -> JsonObject:
    """`--json` of a comparison whose runs and searches are finished."""
    rows: list[JsonObject] = []
    sealed: SealedScores = {}
    firsts: SealedScores = {}
    for arm, seed in sorted(order(study.arms, study.seeds), key=lambda turn: (turn[0].name, turn[1])):
        path = study.root / folder_name(arm, seed)
        row, first, last = _read(arm, path)
        rows.append({"arm": arm.name, "seed": seed, **row})
        sealed.setdefault(arm.name, {})[seed] = last
        if arm.has_base:
            firsts.setdefault(arm.name, {})[seed] = first
    timed = task_of(study.config).manifest.toolchain in TIMED
    scores = as_in_one_test(sealed, firsts, timed)
    return {"budget": study.budget.model_dump(mode="json"), **_compared(rows, scores)}


def as_in_one_test(sealed: SealedScores, firsts: SealedScores, timed: bool) -> SealedScores:
    """With `base`: the first release, its mean over a seed's runs, which all scored it. Where scores are
    times, a machine that is busier during one run lowers all that this run measures: each run's scores are
    then moved, by instance, by what the first release scored in it above that mean. Searches score no first
    release and stay as they are."""
    seeds = sorted({seed for found in firsts.values() for seed in found})
    base = {seed: _mean_scores([found[seed] for found in firsts.values() if seed in found]) for seed in seeds}
    moved = {
        arm: {
            seed: _moved(scores, firsts[arm][seed], base[seed]) if timed and arm in firsts else scores
            for seed, scores in found.items()
        }
        for arm, found in sealed.items()
    }
    return ({BASE: base} if base else {}) | moved


def _mean_scores(found: Sequence[Scores]) -> Scores:
    """By instance, of those that all have."""
    shared = set.intersection(*(set(scores) for scores in found))
    return {one: math.fsum(scores[one] for scores in found) / len(found) for one in sorted(shared)}


def _moved(last: Scores, first: Scores, base: Scores) -> Scores:
    return {one: score - first[one] + base[one] for one, score in last.items() if one in base}


def read_runs(runs: Sequence[str], root: Path) -> JsonObject:
    """The same of finished runs, each an arm of its own, with a paired t-test over sealed instances. Raises
    SettingsError for a run without its sealed test, and for one that is named twice."""
    rows, by_run = [], {}
    for label, folder in _by_label([find(name, root) for name in runs]).items():
        row, _, last = _run(folder)
        if not last:
            raise SettingsError(f"{label} has no sealed test: it is {row['state']}", "compare ended runs")
        rows.append({"arm": label, "seed": folder.config().run.seed, **row})
        by_run[label] = last
    pairs = []
    for earlier, later in combinations(by_run, 2):
        both = sorted(by_run[earlier].keys() & by_run[later].keys())
        pairs.append(_pair(later, earlier, [by_run[later][one] - by_run[earlier][one] for one in both]))
    arms = {name: interval_json(list(scores.values())) for name, scores in by_run.items()}
    return {"runs": rows, "arms": arms, "pairs": _corrected(pairs)}


def _by_label(folders: Sequence[RunFolder]) -> dict[str, RunFolder]:
    """By their names; where two have the same one, by the folder above as well."""
    names = [folder.run_id for folder in folders]
    alike = len(set(names)) < len(names)
    found = {f"{one.path.parent.name}-{one.run_id}" if alike else one.run_id: one for one in folders}
    if len(found) < len(folders):
        raise SettingsError(f"a run can't be compared with itself: {', '.join(names)}", "name other runs")
    return found


def _compared(rows: list[JsonObject], sealed: SealedScores) -> JsonObject:
    means = {arm: [_mean(scores) for scores in seeds.values() if scores] for arm, seeds in sealed.items()}
    return {
        "runs": rows,
        "arms": {arm: interval_json(found) for arm, found in means.items()},
        "pairs": compared_pairs(sealed),
    }


def _read(arm: CompareArm, path: Path) -> tuple[JsonObject, Scores, Scores]:
    """A row of an arm and seed, and the sealed scores of its first and last release."""
    if arm.has_base:
        return _run(find(path.name, path.parent))
    result = read_outcome(path)
    cost = {
        "evaluations": result["evaluations"],
        "tokens": result.get("tokens", 0),
        "wall_s": result["wall_s"],
    }
    row = {"sealed": _mean(result["sealed"]), "instances": len(result["sealed"]), "cost": cost}
    if arm.is_search:
        row["candidates"] = search_candidates(path)
    return row, {}, result["sealed"]


def _run(folder: RunFolder) -> tuple[JsonObject, Scores, Scores]:
    history = fold(folder.open_ledger().events(folder.run_id))
    first, last = sealed_scores(folder, history)
    cost = history.cost
    return (
        {
            "run": history.run_id,
            "state": history.state,
            "first": _mean(first) if first else None,
            "sealed": _mean(last) if last else None,
            "instances": len(last),
            "promoted": len(history.promotions),
            "generations": len(history.generations),
            "cost": {
                "evaluations": cost.evaluations,
                "tokens": cost.prompt_tokens + cost.completion_tokens,
                "wall_s": history.elapsed_s,
                "model_s": cost.model_s,
                "box_s": cost.box_s,
                "train_s": cost.train_s,
            },
            "promotions": _promotions(history, folder.open_store()),
            "candidates": loop_candidates(history, folder.open_store()),
        },
        first,
        last,
    )


def _promotions(history: RunHistory, store: Store) -> list[JsonObject]:
    """Each promotion: evaluations spent until then, and the gain that its confirmation measured."""
    rows, spent = [], 0
    for generation in history.generations:
        spent += generation.cost.evaluations
        if generation.decision == "promoted" and generation.evidence:
            gain = get_record(store, generation.evidence, GateRecord).gain
            gained = gain.model_dump(mode="json") if gain else None
            rows.append({"generation": generation.number, "evaluations": spent, "gain": gained})
    return rows


def sealed_scores(folder: RunFolder, history: RunHistory) -> tuple[Scores, Scores]:
    """Of the first and of the last release; the same where nothing was promoted. Empty: no sealed test."""
    if history.test is None:
        return {}, {}
    test = get_json(folder.open_store(), history.test)
    instances, scored = test["instances"], test["scores"]
    by_arm = {arm: dict(zip(instances, scores, strict=True)) for arm, scores in scored.items()}
    return by_arm["first"], by_arm.get("last", by_arm["first"])


def compared_pairs(sealed: Mapping[str, Mapping[int, Scores]]) -> list[JsonObject]:
    """A row for each pair of arms, the later one minus the earlier one."""
    rows = []
    for earlier, later in combinations(sorted(sealed, key=lambda arm: (arm != BASE, arm)), 2):
        differences = []
        for seed in sorted(sealed[earlier].keys() & sealed[later].keys()):
            mine, theirs = sealed[later][seed], sealed[earlier][seed]
            shared = mine.keys() & theirs.keys()
            if shared:
                differences.append(math.fsum(mine[one] - theirs[one] for one in shared) / len(shared))
        rows.append(_pair(later, earlier, differences) | {"by_seed": differences})
    return _corrected(rows)


def _pair(later: str, earlier: str, differences: list[float]) -> JsonObject:
    return {
        "arm": later,
        "minus": earlier,
        "difference": interval_json(differences),
        "p": t_test(differences),
    }


def t_test(differences: list[float]) -> float | None:
    """Two-sided p-value of a mean difference of zero. None: fewer than two differences, or all the same, so
    that no spread could be seen. Where all are zero nothing speaks against zero: 1."""
    if len(differences) < 2:
        return None
    if np.ptp(differences) == 0:
        return None if differences[0] else 1.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down correction (Scand. J. Statist. 6, 1979): smallest times n, next times n - 1."""
    corrected, most = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values)):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = most
    return corrected


def _corrected(rows: list[JsonObject]) -> list[JsonObject]:
    tested = [row for row in rows if row["p"] is not None]
    for row, p_value in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p_value
    return rows


def _mean(scores: Scores) -> float:
    return math.fsum(scores.values()) / len(scores) if scores else math.nan
