"""What became of chains of jobs is counted right, whatever happened to them; and the list of where other
faults are tried names what is there.
"""

from pathlib import Path

import pytest

from ratchet.chaos.judge import Verdict, judge
from ratchet.chaos.matrix.elsewhere import ELSEWHERE
from ratchet.chaos.work import Work, first_link, handlers
from shared.bus.bus import Bus
from shared.ledger.ledger import Ledger, Ring
from shared.messages import events as e

ROOT = Path(__file__).parents[4]
CHAINS, LINKS = 3, 2
ACCEPTED = [("r", str(chain), LINKS) for chain in range(CHAINS)]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", max_attempts=1)
    made.create_schema()
    made.create_run("r")
    return made


def submitted(ledger: Ledger) -> list[Ring]:
    return ledger.submit([first_link("r", str(chain), Work(LINKS)) for chain in range(CHAINS)])


def work_off(ledger: Ledger, rings: list[Ring], folder: Path) -> None:
    """These jobs, and those that come of them."""
    bus = Bus(ledger, lambda: handlers(folder), rings.extend, "me")
    while rings:
        bus.process(rings.pop(0).job_id)


def test_all_done_is_ok(ledger: Ledger, tmp_path: Path) -> None:
    work_off(ledger, submitted(ledger), tmp_path / "cache")
    verdict = judge(ledger, ACCEPTED)
    assert verdict == Verdict(jobs=6, done=6, lost=0, double=0, stuck=0, dead=0)
    assert verdict.ok


def test_a_job_that_no_one_did_is_stuck_and_its_chain_is_lost(ledger: Ledger, tmp_path: Path) -> None:
    work_off(ledger, submitted(ledger)[:2], tmp_path / "cache")
    verdict = judge(ledger, ACCEPTED)
    assert verdict == Verdict(jobs=6, done=4, lost=2, double=0, stuck=1, dead=0)
    assert not verdict.ok


def test_a_second_effect_of_a_job_is_double(ledger: Ledger, tmp_path: Path) -> None:
    work_off(ledger, submitted(ledger), tmp_path / "cache")
    effect = next(one.event for one in ledger.events("r") if isinstance(one.event, e.ReleaseRejected))
    chain, link, _ = effect.why.split()
    ledger.submit([effect.model_copy(update={"why": f"{chain} {link} another"})])
    assert (judge(ledger, ACCEPTED).double, judge(ledger, ACCEPTED).ok) == (1, False)


def test_a_job_that_was_given_up_is_dead(ledger: Ledger, tmp_path: Path) -> None:
    rings = submitted(ledger)
    claim = ledger.claim(rings[0].job_id, "gone")
    assert claim is not None
    ledger.fail(claim.job_id, claim.fence, "why", None)
    work_off(ledger, rings[1:], tmp_path / "cache")
    verdict = judge(ledger, ACCEPTED)
    assert (verdict.dead, verdict.lost, verdict.ok) == (1, 2, False)


def test_nothing_at_all_is_not_ok(ledger: Ledger) -> None:
    assert not judge(ledger, []).ok


def test_the_places_where_other_faults_are_tried_exist() -> None:
    for where in ELSEWHERE.values():
        for place in where.split(", "):
            assert place.startswith("ratchet ") or (ROOT / place).exists(), place
