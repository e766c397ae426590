"""A promoted release that does harm while it is live is taken back by the run itself; a good one is not."""

import random
from pathlib import Path

import pytest

from shared.config.settings import GateSection
from shared.decisions.guards import FAILURES, TOKENS, tripped, watch
from shared.messages.evidence import GuardRecord
from shared.messages.records import AttemptPlan, AttemptState, Evaluation, Outcome, Release, Sample, Turn
from shared.store.store import get_record
from shared.tasks.task import AttemptSection
from tests.loop.toy_world import World

GATE = {"screen_instances": 6, "round_instances": 12, "max_pairs": 36, "test_instances": 4}
LIMITS = AttemptSection(requests=1, max_tokens=100)


def attempt(outcome: Outcome = "ok", tokens: int = 10) -> AttemptState:
    release = Release(base="b", harness="h")
    plan = AttemptPlan(attempt_id="a", instance={"id": "i"}, arm="base", release=release, seed=1)
    turn = Turn(action={"ask": []}, replies=(Sample(text="", token_ids=(1,) * tokens),))
    return AttemptState(plan=plan, turns=(turn,), final=Evaluation(outcome=outcome, score=0.0))


def of(failures: int, count: int) -> list[AttemptState]:
    return [attempt("crashed")] * failures + [attempt()] * (count - failures)


def test_evidence_is_the_wealth_of_a_bettor_worked_out_by_hand() -> None:
    [guard] = watch(GateSection(), LIMITS, of(4, 10), of(2, 2))
    # limit .4 + .1; two failures exceed it by .5 of a bound of .5: stakes .99, .5, .15 double, 1.5-fold, ...
    assert (guard.limit, guard.mean, guard.attempts) == (0.5, 1.0, 2)
    assert guard.e_value == pytest.approx(0.8 * 1.99**2 + 0.1 * 1.5**2 + 0.1 * 1.15**2)


def test_a_release_that_fails_more_trips_and_one_at_its_limit_does_at_the_stated_rate_at_most() -> None:
    assert FAILURES in tripped(watch(GateSection(), LIMITS, of(0, 40), of(20, 40)))
    rng, trips, runs = random.Random(5), 0, 300
    gate = GateSection(guard_alpha=0.1)
    for _ in range(runs):
        live = [attempt("crashed" if rng.random() < 0.1 else "ok") for _ in range(40)]
        trips += any(tripped(watch(gate, LIMITS, of(0, 40), live[:n])) for n in range(4, 41, 4))
    assert trips <= 0.1 * runs


def test_tokens_have_a_guard_where_they_have_a_rail_and_both_share_alpha() -> None:
    gate = GateSection(max_token_ratio=2.0, guard_alpha=0.02)
    guards = watch(gate, LIMITS, [attempt(tokens=10)] * 10, [attempt(tokens=60)] * 30)
    assert [(guard.name, guard.alpha) for guard in guards] == [(FAILURES, 0.01), (TOKENS, 0.01)]
    assert tripped(guards).startswith(TOKENS)


def test_what_was_lost_counts_for_nothing_and_zero_switches_guards_off() -> None:
    assert watch(GateSection(), LIMITS, of(0, 9), [attempt("lost")] * 30) == ()
    assert watch(GateSection(guard_alpha=0.0), LIMITS, of(0, 9), of(30, 30)) == ()


def test_a_run_goes_back_by_itself_where_its_live_release_begins_to_fail(tmp_path: Path) -> None:
    made = World(tmp_path, {"run": {"generations": 2}, "gate": GATE})
    made.fails = lambda release: release in [one.promoted for one in made.history().promotions]
    history = made.run()
    promoted, after = history.generations
    assert (promoted.decision, after.decision) == ("promoted", "rejected")
    assert history.release == history.first
    [back] = history.rollbacks
    assert (back.release, back.generation) == (history.first, 2)
    assert "share of failing attempts: 1 over" in back.why
    record = get_record(made.store, back.evidence, GuardRecord)
    assert record.promoted_in == 1
    assert record.guards[0].e_value >= 100
    assert "roll-backs of the release that it was compared with" in after.why


def test_a_release_that_stays_good_stays_live(tmp_path: Path) -> None:
    history = World(tmp_path, {"run": {"generations": 3}, "gate": GATE}).run()
    assert history.promotions
    assert not history.rollbacks
