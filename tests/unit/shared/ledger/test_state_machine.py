"""The ledger lives through random lives as its model says, on both databases; and the state machine that
says so finds each fault that is planted into a ledger, and names it.
"""

import pytest

from shared.ledger.ledger import Ledger
from tests.unit.shared.ledger.life import live_through
from tests.unit.shared.ledger.planted_faults import FAULTS

LIVES = 20


@pytest.mark.slow
def test_whatever_happens_the_ledger_does_as_its_model(ledger_url: str) -> None:
    live_through(Ledger, ledger_url, LIVES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_as_many_lives_find_a_planted_fault_and_name_the_broken_rule(
    kind: type[Ledger], ledger_url: str
) -> None:
    with pytest.raises(AssertionError, match=f"^{FAULTS[kind]}"):
        live_through(kind, ledger_url, LIVES, shrink=False)
