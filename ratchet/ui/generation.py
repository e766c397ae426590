"""The content of a generation's page: why the gate decided, what each lever bought, what was
proposed. It only reads.
"""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

from ratchet.reports.formats import interval_text
from ratchet.reports.show import show_generation
from ratchet.reports.trace import is_sealed
from ratchet.reports.wealth import MEANING, wealth_path
from ratchet.ui import charts
from ratchet.ui.lineage import side_by_side
from ratchet.ui.pages import run_row
from ratchet.ui.runs import RunView
from shared.ledger.history.state import Generation
from shared.messages.evidence import GateRecord
from shared.messages.records import ARMS
from shared.store.store import get_record

LEAST_SHARE = 1e-4  # of the evidence asked for: what is less is drawn there


def generation_page(view: RunView, number: int) -> dict[str, Any]:
    """Raises KeyError for an unknown generation."""
    generation = view.history.all[number]
    shown = show_generation(generation, view.store)
    arms = view.arms_of(generation)
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
        "rollouts": _rollouts(view, generation),
        "interval_text": interval_text,
    }


def _rollouts(view: RunView, generation: Generation) -> list[dict[str, Any]]:
    return [
        {
            "purpose": purpose,
            "round": turn,
            "shards": len(rollout.shards),
            "lost": rollout.losses,
            "sealed": is_sealed(purpose, view.history),
        }
        for (purpose, turn), rollout in sorted(generation.rollouts.items())
    ]


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
    return side_by_side(view.store, generation.release.harness, made, ("live", "proposed"))
