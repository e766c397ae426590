"""How far a confirmation's evidence had come after each pair, as a share of what its test asks for: 1 is
where it passes. Recomputed from the stored record by the gate's own functions; no decision rests on it.
"""

from __future__ import annotations

from shared.decisions.evidence.claims import CLAIMS, Terms
from shared.decisions.evidence.discordant import tally
from shared.ledger.history.state import RunHistory
from shared.messages.evidence import GateRecord
from shared.store.store import Store, get_record

MEANING = {
    "betting": "e-value over the threshold 1 / alpha",
    "graded": "e-value over the threshold 1 / alpha",
    "right_or_wrong": "pairs won over the wins asked for",
}


def wealth_paths(history: RunHistory, store: Store) -> dict[int, list[float]]:
    """By generation, of those whose arm was confirmed or not by a test."""
    found = {
        generation.number: wealth_path(get_record(store, generation.evidence, GateRecord))
        for generation in history.generations
        if generation.evidence
    }
    return {number: path for number, path in found.items() if path}


def wealth_path(record: GateRecord) -> list[float]:
    """One value a pair; empty where nothing was confirmed. `graded` asks for a second line, too, against
    unseen losses, so that it may pass later than at 1."""
    if not record.threshold:
        return []
    terms = Terms(record.alpha, record.min_effect, record.bound, record.max_pairs)
    counts = range(1, len(record.differences) + 1)
    if record.test == "right_or_wrong":
        return [_won_share(record.differences[:count], terms) for count in counts]
    look = CLAIMS[record.test].look
    return [look(record.differences[:count], terms).e_value * record.alpha for count in counts]


def _won_share(differences: tuple[float, ...], terms: Terms) -> float:
    found = tally(differences, terms.alpha, terms.min_effect, terms.bound, terms.max_pairs)
    return found.won / found.line if found.line else 0.0
