"""The content of the console's pages, as plain values for their templates. It only reads."""

from __future__ import annotations

import difflib
import math
from typing import Any

from markupsafe import Markup

from ratchet.reports.costs import Spent, spent
from ratchet.reports.formats import interval_text
from ratchet.reports.show import show_generation
from ratchet.reports.wealth import MEANING, wealth_path
from ratchet.ui import charts
from ratchet.ui.runs import RunView
from shared.config.settings import RunConfig
from shared.errors import RatchetError
from shared.ledger.history import Generation
from shared.messages.records import ARMS, AttemptState, GateRecord, Interval
from shared.store.shards import get_shard
from shared.store.store import get_bundle, get_json, get_record

SHOWN_GENERATIONS = 40  # in the picture of the arms; the table has all
SHARDS_A_PAGE = 20
LEAST_SHARE = 1e-4  # of the evidence asked for: what is less is drawn there


def run_row(view: RunView) -> dict[str, Any]:
    """A line in the list of runs."""
    history = view.history
    state = view.ledger.run_state(view.folder.run_id) if history.run_id else "not started"
    test = get_json(view.store, history.test) if history.test and not history.evaluation else None
    return {
        "name": view.folder.run_id,
        "state": state,
        "generations": len(history.generations),
        "promoted": len(history.promotions),
        "test": interval_text(test.get("gain") if test else None),
        "evaluations": history.cost.evaluations,
        "why": history.why,
    }


def run_page(view: RunView) -> dict[str, Any]:
    history, store = view.history, view.store
    shown = [show_generation(generation, store) for generation in history.generations]
    scored = [(row["generation"], _intervals(row)) for row in shown]
    live = [(number, arms["base"]) for number, arms in scored if arms["base"]]
    curve = charts.line_chart(
        [(number, found.mean) for number, found in live],
        "Score of the live release over generations",
        [found for _, found in live],
    )
    return {
        "run": run_row(view),
        "generations": shown,
        "arms": charts.arms_chart(scored[-SHOWN_GENERATIONS:]) if scored else "",
        "curve": curve if len(live) > 1 else "",
        "test": get_json(store, history.test) if history.test and not history.evaluation else None,
        "costs": _costs(view),
        "jobs": sorted((*key, count) for key, count in view.ledger.jobs(history.run_id).items()),
        "sentences": view.sentences[-40:],
        "seq": view.seq,
        "interval_text": interval_text,
    }


def generation_page(view: RunView, number: int) -> dict[str, Any]:
    """Raises KeyError for an unknown generation."""
    generation = view.history.all[number]
    shown = show_generation(generation, view.store)
    arms = _intervals(shown)
    base = arms.get("base")
    gains = [
        (arm, found.mean - base.mean, f"{found.mean - base.mean:+.3f}")
        for arm in ARMS[1:]
        if base and (found := arms.get(arm))
    ]
    return {
        "run": run_row(view),
        "generation": shown,
        "arms": charts.arms_chart([(number, arms)]) if base else "",
        "gains": charts.gains_chart(gains) if gains else "",
        "curves": _curves(shown),
        "pairs": _pairs(view, generation),
        "wealth": _wealth(view, generation),
        "harness_diff": _harness_diff(view, generation),
        "rollouts": [
            {"purpose": purpose, "round": turn, "shards": len(rollout.shards), "lost": rollout.losses}
            for (purpose, turn), rollout in sorted(generation.rollouts.items())
        ],
        "interval_text": interval_text,
    }


def attempts_page(view: RunView, number: int, purpose: str, page: int) -> dict[str, Any]:
    """Attempts of one generation and purpose, some shards a page. Raises KeyError: unknown generation."""
    rollouts = view.history.all[number].rollouts
    results = []
    for (kind, _), rollout in sorted(rollouts.items()):
        results += rollout.results if kind == purpose else []
    first = page * SHARDS_A_PAGE
    rows = []
    for digest in results[first : first + SHARDS_A_PAGE]:
        for index, attempt in enumerate(get_shard(view.store, digest).attempts):
            rows.append({"shard": digest, "index": index, **_attempt_row(attempt)})
    pages = -(-len(results) // SHARDS_A_PAGE)
    about = {"generation": number, "purpose": purpose, "page": page, "pages": pages}
    return {"run": run_row(view), "rows": rows, **about}


def attempt_page(view: RunView, shard: str, index: int) -> dict[str, Any]:
    """Raises ArtifactError for an unknown shard, IndexError for an unknown attempt."""
    attempt = get_shard(view.store, shard).attempts[index]
    return {"run": run_row(view), "row": _attempt_row(attempt), "attempt": attempt, "turns": attempt.turns}


def compare_page(views: list[RunView]) -> dict[str, Any]:
    return {"rows": [run_row(view) for view in views]}


def _attempt_row(attempt: AttemptState) -> dict[str, Any]:
    final = attempt.final
    return {
        "instance": attempt.plan.instance.get("id", "?"),
        "arm": attempt.plan.arm,
        "score": f"{final.score:.3f}" if final else "-",
        "outcome": final.outcome if final else "open",
        "turns": len(attempt.turns),
        "error": attempt.error,
    }


def _intervals(shown: dict[str, Any]) -> dict[str, Interval | None]:
    return {arm: Interval(**found) if found else None for arm, found in shown["arms"].items()}


def _costs(view: RunView) -> list[Spent]:
    config = get_record(view.store, view.history.config, RunConfig) if view.history.config else RunConfig()
    return spent(view.history, config)


def _wealth(view: RunView, generation: Generation) -> Markup | str:
    """How far the evidence had come after each pair."""
    if not generation.evidence:
        return ""
    record = get_record(view.store, generation.evidence, GateRecord)
    path = wealth_path(record)
    if len(path) < 2:
        return ""
    points = [(float(count), math.log10(max(share, LEAST_SHARE))) for count, share in enumerate(path, 1)]
    return charts.line_chart(points, f"Powers of ten of {MEANING[record.test]}, over {len(path)} pairs")


def _curves(shown: dict[str, Any]) -> list[tuple[str, Markup, float, float]]:
    """(name, chart, first value, last value) of each series watched while the adapter was trained."""
    series = (shown["proposals"]["weights"] or {}).get("curves") or {}
    return [
        (
            name,
            charts.line_chart(list(enumerate(values, start=1)), f"{name} by training step"),
            values[0],
            values[-1],
        )
        for name, values in series.items()
        if values
    ]


def _pairs(view: RunView, generation: Generation) -> Markup | str:
    """The mean difference over the confirmation's pairs, as it came in."""
    if not generation.evidence:
        return ""
    record = get_record(view.store, generation.evidence, GateRecord)
    sums, points = 0.0, []
    for count, difference in enumerate(record.differences, start=1):
        sums += difference
        points.append((float(count), sums / count))
    if len(points) < 2:
        return ""
    return charts.line_chart(points, f"Mean difference to base over {len(points)} pairs")


def _harness_diff(view: RunView, generation: Generation) -> list[tuple[str, Markup]]:
    """Files that the proposed harness changes, side by side with those of the live one."""
    made = generation.harness.made if generation.harness else None
    if not made or generation.release is None:
        return []
    try:
        old, new = (get_bundle(view.store, digest) for digest in (generation.release.harness, made))
    except RatchetError:
        return []
    table = difflib.HtmlDiff(wrapcolumn=72)
    found = []
    for path in sorted(old.keys() | new.keys()):
        before, after = (files.get(path, b"").decode(errors="replace") for files in (old, new))
        if before != after:
            text = table.make_table(before.splitlines(), after.splitlines(), "live", "proposed", context=True)
            found.append((path, Markup(text)))
    return found
