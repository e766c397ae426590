"""exploring, plateau, idle: by how many generations in a row promoted nothing."""

import pytest

from shared.config.settings import ConvergenceSection
from shared.decisions.convergence import convergence
from shared.ledger.history.state import Generation, RunHistory

RULE = ConvergenceSection(window=2, idle=4)


@pytest.mark.parametrize(
    ("decisions", "state"),
    [
        ("", "exploring"),
        ("r", "exploring"),
        ("rr", "plateau"),
        ("rrrp", "exploring"),
        ("prr", "plateau"),
        ("prrr", "plateau"),
        ("prrrr", "idle"),
    ],
)
def test_the_state_follows_the_rule(decisions: str, state: str) -> None:
    words = {"r": "rejected", "p": "promoted"}
    made = {n: Generation(n, decision=words[letter]) for n, letter in enumerate(decisions, start=1)}
    assert convergence(RunHistory(all=made), RULE).state == state


def test_a_generation_under_way_counts_for_nothing() -> None:
    made = {1: Generation(1, decision="rejected"), 2: Generation(2)}
    assert convergence(RunHistory(all=made), RULE).state == "exploring"
