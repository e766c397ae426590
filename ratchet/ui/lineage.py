"""The content of a run's lineage page: its releases in order, and the harness texts of two of them side by
side. It only reads.
"""

from __future__ import annotations

import difflib
from typing import Any

from markupsafe import Markup

from ratchet.ui.pages import run_row
from ratchet.ui.runs import RunView
from shared.errors import RatchetError
from shared.messages.records import Release
from shared.store.store import Store, get_bundle

SHOWN_BYTES = 500_000  # of all tables together
SHOWN_LINES = 3_000  # of a file: difflib's time grows with the square


def lineage_page(view: RunView, first: int, second: int) -> dict[str, Any]:
    """`first`, `second`: generations that were promoted, or 0 for the first release. Raises KeyError for
    another."""
    history = view.history
    releases: dict[int, Release] = {0: history.first} if history.first else {}
    releases |= {one.number: one.promoted for one in history.promotions if one.promoted}
    chosen = [releases[number] for number in (first, second)] if releases else []
    names = (_name(first), _name(second))
    diff = side_by_side(view.store, chosen[0].harness, chosen[1].harness, names) if first != second else []
    return {
        "run": run_row(view),
        "releases": releases,
        "promotions": history.promotions,
        "rollbacks": [event.why for event in history.rollbacks],
        "first": first,
        "second": second,
        "diff": diff,
    }


def side_by_side(store: Store, old: str, new: str, names: tuple[str, str]) -> list[tuple[str, Markup]]:
    """(path, table) of each file that differs between two harness bundles; a sentence where a table would be
    too large for a page. Empty where a bundle has gone."""
    try:
        before, after = get_bundle(store, old), get_bundle(store, new)
    except RatchetError:
        return []
    found, left = [], SHOWN_BYTES
    for path in sorted(before.keys() | after.keys()):
        texts = [files.get(path, b"").decode(errors="replace") for files in (before, after)]
        if texts[0] == texts[1]:
            continue
        table = _table([text.splitlines() for text in texts], names, left)
        left -= len(table)
        found.append((path, table))
    return found


def _table(lines: list[list[str]], names: tuple[str, str], left: int) -> Markup:
    if max(map(len, lines)) <= SHOWN_LINES:
        table = difflib.HtmlDiff(wrapcolumn=72).make_table(
            lines[0], lines[1], names[0], names[1], context=True
        )
        if len(table) <= left:
            return Markup(table)
    return Markup("<p>Too long to be shown here: <code>ratchet diff</code> prints it.</p>")


def _name(number: int) -> str:
    return f"generation {number}" if number else "the first release"
