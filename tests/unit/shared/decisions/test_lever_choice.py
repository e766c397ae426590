"""Which levers a run pulls where it may choose: both at first, then what pays."""

from shared.decisions.lever_choice import Pull, choose_levers
from shared.messages.records import Lever

PAID, BARREN = Pull(0.1, 60.0), Pull(0.0, 60.0)


def chosen(harness: list[Pull], weights: list[Pull], seeds: int = 200) -> list[tuple[Lever, ...]]:
    pulls: dict[Lever, list[Pull]] = {"harness": harness, "weights": weights}
    return [choose_levers(pulls, seed).levers for seed in range(seeds)]


def test_both_are_pulled_until_each_was_twice() -> None:
    assert set(chosen([PAID, PAID], [BARREN])) == {("harness", "weights")}


def test_a_lever_that_does_not_pay_is_mostly_left_alone_but_tried_again_at_times() -> None:
    found = chosen([BARREN] * 6, [PAID] * 6)
    alone = found.count(("weights",)) / len(found)
    assert 0.6 < alone < 0.98
    assert ("harness",) not in found


def test_levers_that_pay_alike_are_mostly_pulled_together() -> None:
    found = chosen([PAID, BARREN, PAID], [PAID, PAID, BARREN])
    assert found.count(("harness", "weights")) > 0.7 * len(found)


def test_what_paid_long_ago_has_stopped_paying() -> None:
    long_ago = chosen([PAID] * 2 + [BARREN] * 6, [BARREN, PAID] * 4).count(("weights",))
    lately = chosen([BARREN] * 6 + [PAID] * 2, [BARREN, PAID] * 4).count(("weights",))
    assert long_ago > 2 * lately


def test_the_same_gain_at_twenty_times_the_cost_is_far_below() -> None:
    dear = [Pull(0.1, 1200.0)] * 4
    assert chosen([PAID] * 4, dear).count(("harness",)) > 150


def test_a_choice_says_what_it_rests_on_and_depends_on_its_seed_alone() -> None:
    pulls: dict[Lever, list[Pull]] = {"harness": [BARREN] * 3, "weights": [PAID] * 3}
    assert choose_levers(pulls, 5) == choose_levers(pulls, 5)
    assert "harness paid in 0 of 3 generations" in choose_levers(pulls, 5).why
