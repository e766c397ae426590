"""A release's evaluation beside baselines: paired on the same instances, whole and group by group."""

import pytest

from ratchet.runs.comparing import by_name, compared


def row(number: int, score: float | None, group: str = "") -> dict[str, object]:
    instance = {"id": str(number)} | ({"group": group} if group else {})
    return {"id": str(number), "instance": instance, "score": score, "outcome": "ok", "mse": 0.5}


def test_a_baseline_stands_beside_the_release_with_the_paired_difference():
    rows = [row(1, 0.5), row(2, 0.9)]
    found = compared(
        rows, {"none": [{"score": 0.4, "metrics": {"mse": 1.0}}, {"score": 0.7, "metrics": {"mse": 3.0}}]}
    )
    assert "groups" not in found
    none = found["baselines"]["none"]
    assert none["score"]["mean"] == pytest.approx(0.55)
    assert none["metrics"]["mse"]["mean"] == pytest.approx(2.0)
    difference = none["release_minus_it"]
    assert (difference["mean"], difference["n"]) == (pytest.approx(0.15), 2)
    # t of 0.975 with one degree of freedom is 12.706; the standard error of 0.1 and 0.2 is 0.05
    assert difference["high"] - difference["mean"] == pytest.approx(12.706 * 0.05, abs=1e-3)


def test_groups_have_intervals_of_their_own():
    rows = [row(1, 0.1, "a"), row(2, 0.3, "b"), row(3, 0.2, "a"), row(4, 0.5, "b")]
    found = compared(rows, {"none": [{"score": score} for score in (0.0, 0.1, 0.0, 0.2)]})
    groups = found["groups"]
    assert list(groups) == ["a", "b"]
    assert (groups["a"]["score"]["mean"], groups["b"]["score"]["mean"]) == (pytest.approx(0.15), 0.4)
    assert groups["b"]["metrics"] == {"mse": {"mean": 0.5, "low": 0.5, "high": 0.5, "n": 2}}
    assert groups["b"]["mse"] == groups["b"]["metrics"]["mse"]
    assert groups["b"]["baselines"]["none"]["release_minus_it"]["mean"] == pytest.approx(0.25)


def test_a_lost_instance_counts_neither_for_nor_against():
    found = compared([row(1, None, "a"), row(2, 0.5, "a")], {"none": [{"score": 0.4}, {"score": 0.1}]})
    difference = found["groups"]["a"]["baselines"]["none"]["release_minus_it"]
    assert (difference["mean"], difference["n"]) == (0.4, 1)
    assert found["groups"]["a"]["score"]["n"] == 1


def test_without_baselines_and_groups_nothing_is_added():
    found = compared([row(1, 0.5)], {})
    assert found == {"score": {"mean": 0.5, "low": None, "high": None, "n": 1}, "baselines": {}}


def test_a_metric_is_found_under_the_parts_of_its_name():
    found = by_name({"mse": {"mean": 1.0}, "official.mse": {"mean": 2.0}, "official.poisson": {"mean": 3.0}})
    assert found == {"mse": {"mean": 1.0}, "official": {"mse": {"mean": 2.0}, "poisson": {"mean": 3.0}}}
