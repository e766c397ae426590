"""Searches by ask and tell: they ask for points of the space, alike for one seed, and learn what pays."""

from statistics import mean

import pytest

from ratchet.compare.samplers import SAMPLERS, Point

SPACE = {
    "rows": [1, 2, 4, 8, 16],
    "layout": ["plain", "left", "right"],
    "fast": [True, False],
    "mass": [0, 0.5, 1],
}


def worth(point: Point) -> float:
    """3 at (rows 8, right, fast, mass .5); an ordered knob is worth the more the nearer it is."""
    near = 1 - abs(SPACE["rows"].index(point["rows"]) - 3) / 4
    return near + (point["layout"] == "right") + (point["fast"] is True) * 0.5 + (point["mass"] == 0.5) * 0.5


def searched(name: str, seed: int, asked: int) -> list[float]:
    sampler, scores = SAMPLERS[name](SPACE, seed), []
    for _ in range(asked):
        point = sampler.ask()
        assert all(point[knob] in choices for knob, choices in SPACE.items())
        scores.append(worth(point))
        sampler.tell(scores[-1])
    return scores


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_seed_asks_for_the_same_points_again(name: str) -> None:
    assert searched(name, 3, 30) == searched(name, 3, 30)
    assert searched(name, 3, 30) != searched(name, 4, 30)


@pytest.mark.parametrize("name", ["optuna", "cmaes"])
def test_a_search_that_learns_ends_above_one_at_random(name: str) -> None:
    last = {one: mean(mean(searched(one, seed, 80)[-16:]) for seed in range(2)) for one in (name, "random")}
    assert last[name] > last["random"] + 0.5
