"""The design of experiments over knobs, on a surface that is known: what it tries, and what it finds."""

from collections import Counter

import pytest

from feedback_service.design import surface as surface_module
from feedback_service.design.array import rows, spread
from feedback_service.design.contenders import SURE, contenders, open_levels, winner
from feedback_service.design.levels import likeness, space_of
from feedback_service.design.rungs import next_rung
from feedback_service.design.surface import Observation, Surface
from shared.harness.bundle import Knob
from tests.unit.feedback.design import knobs
from tests.unit.feedback.design.knobs import ATTEMPTS, CORNER, INSTANCES, SIX, choice, harness

TEMPERATURE = Knob(kind="float", value=0.2, low=0.0, high=1.0)


@pytest.mark.slow
def test_the_best_corner_is_found_in_nine_of_ten_designs_of_128_attempts() -> None:
    results = [knobs.experiment(knobs.surface, seed) for seed in range(10)]
    assert all(len(observations) <= ATTEMPTS + len(INSTANCES) for _, observations in results)
    found = [best[0] if best else {} for best, _ in results]
    assert sum(CORNER.items() <= changed.items() for changed in found) >= 9
    assert not any("strict" in changed for changed in found)  # the knob that harms


def test_where_no_knob_does_anything_none_is_moved_in_nine_of_ten_designs() -> None:
    assert sum(knobs.experiment(knobs.flat, seed)[0] is None for seed in range(10)) >= 9


def test_a_gain_is_estimated_lower_than_measured_and_near_the_truth() -> None:
    errors = []
    for seed in range(4):
        best, _ = knobs.experiment(knobs.surface, seed)
        assert best is not None
        truth = knobs.surface(knobs.space().whole(best[0])) - knobs.surface(knobs.space().live)
        errors.append((best[1].mean - truth) / best[1].error)
    assert max(map(abs, errors)) < 3


def test_a_level_that_was_seen_to_harm_is_not_tried_again() -> None:
    _, observations = knobs.experiment(knobs.surface, 3)
    known = knobs.study(knobs.space(), observations)
    assert "strict" not in open_levels(known)
    again = next_rung(known, 0, ATTEMPTS, INSTANCES, 4)
    assert again
    assert not any("strict" in trial.changed for trial in again)


def test_a_closed_setting_goes_no_further() -> None:
    made = knobs.space()
    _, observations = knobs.experiment(knobs.surface, 0)
    free = knobs.study(made, observations)
    assert CORNER in contenders(free, 4)
    closed = surface_closed(free)
    assert CORNER not in contenders(closed, 4)


def surface_closed(free: knobs.Study) -> knobs.Study:
    return knobs.Study(
        free.space, free.observations, free.surface, free.worth, lambda changed: changed == CORNER
    )


def test_the_first_rung_moves_each_knob_in_half_of_the_rows_and_in_no_two_rows_all_alike() -> None:
    drawn = rows(knobs.space().others, ATTEMPTS // 2, seed=5)
    assert len(drawn) == 32
    assert all(drawn.count(row) == 1 and row for row in drawn)
    for name in SIX.knobs:
        assert 14 <= sum(name in row for row in drawn) <= 17
    values = Counter(row["examples"] for row in drawn if "examples" in row)
    assert min(values[level] for level in (1, 3, 5)) >= 5


def test_its_runs_are_spread_evenly_over_rows_and_instances() -> None:
    runs = spread(32, 64, len(INSTANCES), seed=1)
    assert all(len(set(run)) == 2 for run in runs)
    assert set(Counter(number for run in runs for number in run).values()) == {2}


def test_later_rungs_compare_few_settings_on_the_same_instances_and_none_twice() -> None:
    _, observations = knobs.experiment(knobs.surface, 1)
    first = observations[: 32 + 64]
    known = knobs.study(knobs.space(), first)
    trials = next_rung(known, 1, ATTEMPTS, INSTANCES, 1)
    ran = {(item.instance, repr(sorted(known.space.moved(item.settings).items()))) for item in first}
    assert 2 <= len(trials) <= 4
    for trial in trials:
        key = repr(sorted(trial.changed.items()))
        assert not any((INSTANCES[number], key) in ran for number in trial.instances)


def test_one_gain_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """One knob, variance k = 0.3 of the noise's; two attempts at one level, four at the other, whose means
    differ by d = 0.2 with variance v = 2k + 1/2 + 1/4. The gain is d 2k / v, its variance 2k (1 - 2k / v)
    times the noise's."""
    monkeypatch.setattr(surface_module, "INSTANCE", (0.0,))
    monkeypatch.setattr(surface_module, "KNOB", (0.3,))
    monkeypatch.setattr(surface_module, "PAIR", (0.0,))
    made = space_of(harness(tone=choice("plain", "plain", "kind")), trials=True, first=True)
    scores = {"plain": (0.4, 0.6), "kind": (0.6, 0.7, 0.8, 0.7)}
    observations = [
        Observation(f"{tone}-{number}", {"tone": tone}, score)
        for tone, values in scores.items()
        for number, score in enumerate(values)
    ]
    [gain] = Surface(made, observations).gains([{"tone": "kind"}])
    assert gain.mean == pytest.approx(0.2 * 0.6 / 1.35)
    noise = (0.02 + 0.02 + 0.2**2 / 1.35) / 5  # squares within both levels, and between them
    assert gain.error == pytest.approx((noise * 0.6 * (1 - 0.6 / 1.35)) ** 0.5)


def test_with_nothing_known_every_gain_is_unsure() -> None:
    [gain] = Surface(knobs.space(), []).gains([knobs.space().live])
    assert (gain.mean, gain.sure) == (0.0, 0.5)


def test_scores_that_are_all_alike_show_no_gain() -> None:
    made = knobs.space()
    observations = [Observation(name, made.live, 0.5) for name in INSTANCES]
    observations += [Observation(name, made.whole(CORNER), 0.5) for name in INSTANCES]
    [gain] = Surface(made, observations).gains([made.whole(CORNER)])
    assert gain.mean == pytest.approx(0)
    assert gain.sure < 0.5


def test_what_was_measured_under_other_conditions_counts_less() -> None:
    made = knobs.space()
    live = [Observation(name, made.live, 0.4) for name in INSTANCES[:8]]

    def moved(noise: float) -> list[Observation]:
        whole = made.whole(CORNER)
        return [Observation(n, whole, 0.6 + 0.1 * (i % 2), noise) for i, n in enumerate(INSTANCES[:8])]

    [same] = Surface(made, live + moved(1.0)).gains([made.whole(CORNER)])
    [other] = Surface(made, live + moved(4.0)).gains([made.whole(CORNER)])
    assert other.error > same.error


def test_near_levels_of_a_number_are_alike_and_those_of_words_are_not() -> None:
    examples, tone = SIX.knobs["examples"], SIX.knobs["tone"]
    assert likeness(examples, 3, 5) > likeness(examples, 0, 5) == 0
    assert likeness(tone, "plain", "kind") == 0
    assert likeness(SIX.knobs["width"], 10, 25) == pytest.approx(0.25)
    assert likeness(SIX.knobs["width"], 10, 10) == 1
    assert likeness(Knob(kind="int", value=-4, low=-4, high=0), -4, -2) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("trials", "first", "higher"), [(False, True, False), (False, False, True), (True, True, True)]
)
def test_a_higher_temperature_is_no_first_idea_where_an_attempt_has_one_answer(
    trials: bool, first: bool, higher: bool
) -> None:
    others = space_of(harness(temperature=TEMPERATURE), trials=trials, first=first).others["temperature"]
    assert any(float(value) > 0.2 for value in others) == higher
    assert any(float(value) < 0.2 for value in others)


def test_pins_frozen_knobs_and_exemplars_that_are_not_there_are_left_out() -> None:
    made = harness(
        pin_tile=choice("free", "free", 8),
        one=choice(1, 1),
        verbose=choice(False, False, True).model_copy(update={"searched": False}),
        exemplars=Knob(kind="int", value=0, low=0, high=4),
    )
    assert space_of(made, trials=True, first=True).knobs == {}


def test_a_knob_that_does_nothing_while_another_is_off_is_not_tried() -> None:
    votes = Knob(kind="choice", value=1, choices=[1, 3], needs="temperature")
    off = TEMPERATURE.model_copy(update={"value": 0.0})
    made = harness(temperature=off, votes=votes)
    assert dict(space_of(made, trials=False, first=True).others) == {}
    assert set(space_of(made, trials=False, first=False).others) == {"temperature", "votes"}
    on = harness(temperature=TEMPERATURE, votes=votes)
    assert "votes" in space_of(on, trials=False, first=True).others


@pytest.mark.parametrize(("runs", "proposed"), [(8, False), (64, True)])
def test_a_gain_above_its_worth_is_proposed_only_once_it_is_sure(runs: int, proposed: bool) -> None:
    made = space_of(harness(tone=choice("plain", "plain", "kind")), trials=True, first=True)
    observations = [
        Observation(f"{tone}-{number}", {"tone": tone}, mean + 0.15 * (-1) ** number)
        for tone, mean in (("plain", 0.4), ("kind", 0.5))
        for number in range(runs)
    ]
    known = knobs.study(made, observations)
    [gain] = known.surface.gains([{"tone": "kind"}])
    assert gain.mean > knobs.WORTH
    assert (winner(known) is not None) == proposed


@pytest.mark.parametrize(("runs", "proposed"), [(7, False), (8, True)])
def test_a_setting_is_proposed_only_after_eight_runs_however_sure(runs: int, proposed: bool) -> None:
    made = space_of(harness(tone=choice("plain", "plain", "kind")), trials=True, first=True)
    observations = [
        Observation(f"{tone}-{number}", {"tone": tone}, mean + 0.01 * (-1) ** number)
        for tone, mean, count in (("plain", 0.4, 16), ("kind", 0.8, runs))
        for number in range(count)
    ]
    known = knobs.study(made, observations)
    [gain] = known.surface.gains([{"tone": "kind"}])
    assert gain.sure > SURE
    assert (winner(known) is not None) == proposed
