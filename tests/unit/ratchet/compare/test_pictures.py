"""Pictures of a comparison: gain over the evaluations spent, whatever arms there are."""

import warnings
from pathlib import Path

import pytest

from ratchet.compare.pictures import draw_candidates, gain_curve

RUN = {
    "arm": "both",
    "seed": 0,
    "cost": {"evaluations": 500},
    "promotions": [
        {"generation": 1, "evaluations": 120, "gain": {"mean": 0.25}},
        {"generation": 2, "evaluations": 300, "gain": None},
        {"generation": 3, "evaluations": 400, "gain": {"mean": 0.125}},
    ],
    "candidates": {"evaluations": [1, 2], "scores": [0.5, 0.25]},
}


def test_a_runs_gain_is_that_of_its_promotions_added_up_over_what_was_spent() -> None:
    spent, gains = gain_curve(RUN)
    assert spent == [0, 120, 300, 400, 500]
    assert gains == pytest.approx([0.0, 0.25, 0.25, 0.375, 0.375])


def test_a_run_that_promoted_nothing_gained_nothing() -> None:
    spent, gains = gain_curve(RUN | {"promotions": []})
    assert (spent, list(gains)) == ([0, 500], [0.0, 0.0])


@pytest.mark.parametrize("runs", [[RUN, RUN | {"seed": 1}], [{"arm": "best-of-n", "seed": 0}], []])
def test_every_kind_of_arm_is_drawn_without_a_warning(runs, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_candidates({"runs": runs}, tmp_path / "candidates.png")
    assert (tmp_path / "candidates.png").read_bytes().startswith(b"\x89PNG")
