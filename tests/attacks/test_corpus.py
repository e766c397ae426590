"""The attack corpus: every attack succeeds on a harness that trusts everything, or states why it is kept, and
not one succeeds here. `ratchet attack` runs the same corpus.
"""

import pytest

from sandbox_service.attacks.corpus import EXPLOITS, NOT_APPLICABLE, attacks
from sandbox_service.attacks.finding import Finding
from sandbox_service.attacks.run import run
from shared.box.bubblewrap.cgroup import can_make_groups
from tests.parts.slow import chosen, one_in

pytestmark = pytest.mark.timeout(900)  # they run in the first test's fixture: minutes, on a busy machine
ATTACKS = {attack.name: attack for attack in attacks()}


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest) -> dict[str, Finding]:
    """Of the attacks that are tried in this session, run together."""
    names = [name for name in chosen(request, "name") if name in ATTACKS]
    return {finding.name: finding for finding in run(names)}


@pytest.mark.parametrize("name", one_in(4, ATTACKS))
def test_an_attack_works_on_a_naive_harness_and_not_here(name: str, found: dict[str, Finding]) -> None:
    if ATTACKS[name].needs and name not in found:
        assert not can_make_groups()
        pytest.skip("this machine permits no control groups, and the box reports that it is reduced")
    finding = found[name]

    assert finding.contained, finding.saw
    assert finding.naive_succeeded or finding.kept, "it succeeds nowhere, so it proves nothing"


@pytest.mark.parametrize("name", ["honest", "honest_program"])
def test_an_honest_program_beside_all_of_them_is_rewarded(name: str, found: dict[str, Finding]) -> None:
    assert found[name].contained, found[name].saw
    assert found[name].naive_succeeded


def test_every_known_exploit_is_tried_or_has_a_reason_why_not() -> None:
    tried = {attack.exploit for attack in ATTACKS.values()}

    assert tried | set(NOT_APPLICABLE) == set(EXPLOITS)
    assert not tried & set(NOT_APPLICABLE)


def test_every_attack_says_what_it_tries_and_what_stops_it() -> None:
    assert [attack.name for attack in ATTACKS.values() if not (attack.tries and attack.layer)] == []
