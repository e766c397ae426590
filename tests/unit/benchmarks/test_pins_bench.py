"""What the analyst reads off one run is looked up in runs with other seeds."""

import json
import random

import pytest

from benchmarks.pins import looked_up
from feedback_service.propose.diagnosis import Scored


def replies(seed: int) -> list[Scored]:
    """A fast tile gains 0.2; the order of the loops gains nothing."""
    draw = random.Random(seed)
    found = []
    for number in range(60):
        reply = {
            "tile": draw.choice([4, 8]),
            "order": draw.choice(["ij", "ji"]),
            "other": draw.choice([1, 2]),
        }
        score = 0.4 + 0.2 * (reply["tile"] == 8) + draw.gauss(0, 0.05)
        text = json.dumps(reply)
        found.append(Scored({"id": f"i{number % 6}"}, text, text, score, "ok"))
    return found


def test_a_true_effect_is_found_elsewhere_and_one_of_chance_is_not() -> None:
    rows = looked_up(replies(1), [replies(2), replies(3)], {"tile", "order"})
    by_size = sorted(rows, key=lambda row: row["errors"])
    assert len(rows) == 2  # `other` can't be pinned
    chance, true = by_size
    assert true["errors"] > 5
    assert (true["seen"], true["elsewhere"]) == pytest.approx((0.2, 0.2), abs=0.03)
    assert abs(chance["elsewhere"]) < 0.03
