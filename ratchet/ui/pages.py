"""The content of the console's pages, as plain values for their templates. It only reads."""

from __future__ import annotations

from typing import Any

from ratchet.reports.costs import Spent, spent
from ratchet.reports.formats import interval_text
from ratchet.reports.show import show_generation
from ratchet.ui import charts
from ratchet.ui.runs import RunView
from shared.config.settings import RunConfig
from shared.store.store import get_json, get_record

SHOWN_GENERATIONS = 40  # in the picture of the arms: the newest
GENERATIONS_A_PAGE = 50


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


def run_page(view: RunView, page: int = 0) -> dict[str, Any]:
    history, store = view.history, view.store
    newest = history.generations[::-1]
    first = page * GENERATIONS_A_PAGE
    shown = [show_generation(one, store) for one in newest[first : first + GENERATIONS_A_PAGE]]
    scored = [(one.number, view.arms_of(one)) for one in history.generations]
    live = [(number, arms["base"]) for number, arms in scored if arms["base"]]
    curve = charts.line_chart(
        [(number, found.mean) for number, found in live],
        "Score of the live release over generations",
        [found for _, found in live],
    )
    return {
        "run": run_row(view),
        "generations": shown,
        "page": page,
        "pages": -(-len(newest) // GENERATIONS_A_PAGE),
        "sealed_attempts": bool(history.all.get(0) and history.all[0].rollouts and history.finished),
        "newest": history.promotions[-1].number if history.promotions else 0,
        "workers": view.ledger.workers(history.run_id),
        "arms": charts.arms_chart(scored[-SHOWN_GENERATIONS:]) if scored else "",
        "curve": curve if len(live) > 1 else "",
        "test": get_json(store, history.test) if history.test and not history.evaluation else None,
        "costs": _costs(view),
        "jobs": sorted((*key, count) for key, count in view.ledger.jobs(history.run_id).items()),
        "sentences": view.sentences[-40:],
        "seq": view.seq,
        "interval_text": interval_text,
    }


def compare_page(views: list[RunView]) -> dict[str, Any]:
    return {"rows": [run_row(view) for view in views]}


def _costs(view: RunView) -> list[Spent]:
    config = get_record(view.store, view.history.config, RunConfig) if view.history.config else RunConfig()
    return spent(view.history, config)
