"""The content of the pages of attempts: a table of them, and one whole. It only reads.

A page stays below a megabyte: texts of an attempt are cut to equal shares, and the page says so.
"""

from __future__ import annotations

import json
from typing import Any

from ratchet.reports.trace import is_sealed
from ratchet.ui.pages import run_row
from ratchet.ui.runs import RunView
from shared.errors import SettingsError
from shared.messages.records import AttemptState
from shared.store.shards import get_shard

ROWS_A_PAGE = 200  # about: whole shards
SHOWN_CHARACTERS = 150_000  # of an attempt's texts, together: each may take six bytes once it is escaped
CELL_CHARACTERS = 200


def attempts_page(view: RunView, number: int, purpose: str, page: int) -> dict[str, Any]:
    """Attempts of one generation and purpose, some shards a page. Raises KeyError: unknown generation;
    SettingsError: of the sealed split, before the run has ended."""
    _must_be_open(view, purpose)
    results = []
    for (kind, _), rollout in sorted(view.history.all[number].rollouts.items()):
        results += rollout.results if kind == purpose else []
    each = len(get_shard(view.store, results[0]).attempts) if results else 1
    shards = max(1, ROWS_A_PAGE // max(each, 1))
    rows = []
    for digest in results[page * shards : (page + 1) * shards]:
        for index, attempt in enumerate(get_shard(view.store, digest).attempts):
            rows.append({"shard": digest, "index": index, **_row(attempt)})
    about = {"generation": number, "purpose": purpose, "page": page, "pages": -(-len(results) // shards)}
    return {"run": run_row(view), "rows": rows, **about}


def attempt_page(view: RunView, shard: str, index: int) -> dict[str, Any]:
    """Raises ArtifactError for an unknown shard, IndexError for an unknown attempt, SettingsError for one of
    the sealed split before the run has ended."""
    for generation in view.history.all.values():
        for (purpose, _), rollout in generation.rollouts.items():
            if shard in rollout.results:
                _must_be_open(view, purpose)
    attempt = get_shard(view.store, shard).attempts[index]
    began_s, ended_s = view.times.by_result.get(shard, (None, None))
    return {
        "run": run_row(view),
        "row": _row(attempt),
        "attempt": attempt,
        "instance": json.dumps(attempt.plan.instance, indent=2, ensure_ascii=False),
        "turns": attempt.turns,
        "began_s": began_s,
        "ended_s": ended_s,
        "most": SHOWN_CHARACTERS // max(1, _texts(attempt)),
    }


def cut(text: object, most: int) -> str:
    """The first `most` characters, and how many more there are."""
    whole = str(text)
    left = len(whole) - most
    return whole if left <= 0 else f"{whole[:most]}\n[{left:,} more characters: `ratchet trace` prints them]"


def _texts(attempt: AttemptState) -> int:
    """How many texts its page shows."""
    count = 3  # instance, answer, detail
    for turn in attempt.turns:
        count += sum(len(asked.get("messages", ())) for asked in turn.action.get("ask", ()))
        count += 2 * len(turn.replies) + 2 * len(turn.action.get("try", ()))
    return count


def _must_be_open(view: RunView, purpose: str) -> None:
    if is_sealed(purpose, view.history):
        raise SettingsError("attempts on the sealed split are shown once the run has ended")


def _row(attempt: AttemptState) -> dict[str, Any]:
    final = attempt.final
    return {
        "instance": cut(attempt.plan.instance.get("id", "?"), CELL_CHARACTERS),
        "attempt": attempt.plan.attempt_id,
        "arm": attempt.plan.arm,
        "score": f"{final.score:.3f}" if final else "-",
        "outcome": final.outcome if final else "open",
        "turns": len(attempt.turns),
        "error": cut(attempt.error, CELL_CHARACTERS),
    }
