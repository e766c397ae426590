"""One seeded order of the whole gate pool: every round is a sample of the same population."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from shared.config.settings import RunConfig, load_config
from shared.decisions import pool
from shared.decisions.evidence.graded import passed_in
from shared.decisions.pool import WHOLE, draw_order, fresh, gate_order, mean_text, weights
from shared.errors import TaskError
from shared.messages.records import JsonObject
from shared.store.store import LocalStore
from shared.tasks.task import Task, load_task
from tests.loop.toy_world import make_task

TOO_SLOW = 5  # cases of a split that can't be drawn whole in time
# Nine in ten cases have one of two frequent labels; as some tasks do, it deals one of each label in turn.
DEALT = """
import random
POOL = [{"id": f"{label}-{n}", "label": label} for label in range(2) for n in range(225)]
POOL += [{"id": f"{label}-0", "label": label} for label in range(2, 52)]
def draw(split, count, seed):
    rng, by_label = random.Random(f"{split}-{seed}"), {}
    for case in rng.sample(POOL, len(POOL)):
        by_label.setdefault(case["label"], []).append(case)
    dealt = [case[turn] for turn in range(225) for case in by_label.values() if turn < len(case)]
    return dealt[:count]
"""


def task_and_config(folder: Path, **sections: object) -> tuple[Task, RunConfig]:
    name = make_task(folder / "task")
    (folder / "task" / "verifier.py").write_text(DEALT)
    return load_task(name), load_config([{"run": {"task": name, "generations": 4}}, sections])


def test_the_order_holds_the_whole_pool_once_and_any_part_of_it_is_like_the_rest(tmp_path: Path) -> None:
    task, config = task_and_config(tmp_path)
    order = draw_order(config, task)
    assert len(order) == len({case["id"] for case in order}) == 500
    rare = [case["label"] >= 2 for case in order]
    assert sum(rare[:50]) < 15  # dealt in turn, 48 of the first 50 would be rare


def test_a_run_keeps_its_order_and_takes_from_the_front_what_is_not_used(tmp_path: Path) -> None:
    task, config = task_and_config(tmp_path)
    store = LocalStore(tmp_path / "store")
    order = gate_order("run", config, task, store)
    (tmp_path / "task" / "verifier.py").write_text("def draw(split, count, seed):\n    return []\n")
    assert gate_order("run", config, task, store) == order
    used = {order[0]["id"], order[2]["id"]}
    assert fresh(order, used, 2) == [order[1], order[3]]


def test_a_task_that_cannot_deal_thousands_is_asked_for_what_the_run_needs(tmp_path: Path) -> None:
    task, config = task_and_config(tmp_path)
    short = "def draw(split, count, seed):\n    return list(map(one, range(count))) if count < 900 else 1\n"
    short += "def one(n):\n    return {'id': n}\n"
    (tmp_path / "task" / "verifier.py").write_text(short)
    needed = 4 * (config.gate.screen_instances + config.gate.max_pairs)
    assert len(draw_order(config, task)) == needed


def test_no_gain_over_the_pool_is_no_gain_in_any_generation(tmp_path: Path) -> None:
    """A candidate that gains on frequent labels and loses on rare ones, 0 over the pool: with the order
    dealt in turn, used from the front, later generations would see the frequent labels alone and promote
    it."""
    task, config = task_and_config(tmp_path)
    order = draw_order(config, task)
    gains = np.array([0.11 if case["label"] < 2 else -0.99 for case in order])
    assert abs(gains.mean()) < 1e-9
    rng = np.random.default_rng(0)
    pairs, runs, alpha = 48, 400, 0.0273
    shuffled = np.array([rng.permutation(gains) for _ in range(runs)])
    dealt = np.tile(np.sort(gains), (runs, 1))  # rare labels first, as dealing in turn would use them up
    noise = rng.normal(0, 0.05, (runs, pairs))
    for generation in range(4):
        part = slice(generation * 110, generation * 110 + pairs)
        false = passed_in(np.clip(shuffled[:, part] + noise, -1, 1), alpha, 0.01)[:, -1].mean()
        assert false <= alpha + 3 * np.sqrt(alpha / runs)
    assert passed_in(dealt[:, part] + noise, alpha, 0.01)[:, -1].mean() > 0.9


def test_a_sealed_sample_is_no_deal_by_label_but_a_sample_of_cases() -> None:
    """90 of 100 cases are of one label, and the task deals one of each label in turn."""
    common, rare = [{"id": f"c{n}"} for n in range(90)], [{"id": f"r{n}"} for n in range(10)]
    dealt = [case for pair in zip(common, rare, strict=False) for case in pair] + common[10:]
    shares = [
        sum(case["id"].startswith("r") for case in pool.sealed_sample(dealt, 20, seed)) / 20
        for seed in range(200)
    ]
    assert sum(shares) / 200 == pytest.approx(0.1, abs=0.02)  # the first 20 of the deal: a half
    assert pool.sealed_sample(dealt, 20, 1) == pool.sealed_sample(dealt, 20, 1)
    assert pool.sealed_sample([{"id": str(n)} for n in range(pool.WHOLE)], 20, 1) == []


def test_the_claimed_mean_is_named_with_the_weight_that_each_class_has_in_it() -> None:
    order = [{"id": number, "kind": "rare" if number == 0 else "common"} for number in range(4)]
    assert weights(order, "kind") == {"common": 0.75, "rare": 0.25}
    assert "over the 4 cases of the gate split" in mean_text(order, "")
    assert mean_text(order, "kind").endswith("kind weighs: common 75.0%, rare 25.0%")
    assert "that the task deals first" in mean_text(order * (WHOLE // 4), "")


def test_the_sealed_instances_are_a_sample_of_a_split_that_ends_else_what_it_deals_first() -> None:
    config, task = RunConfig.model_validate({"gate": {"test_instances": 3}}), load_task("trimul")
    asked = []

    def deal(cases: int, split: str, count: int, seed: int, timeout_s: float) -> list[JsonObject]:
        asked.append((split, count))
        if count == pool.WHOLE and cases == TOO_SLOW:
            raise TaskError("too slow")
        return [{"id": str(number)} for number in range(min(count, cases))]

    ends = pool.sealed_instances(config, task, partial(deal, 10))
    assert len(ends) == 3
    assert {case["id"] for case in ends} <= {str(number) for number in range(10)}
    assert asked == [("test", pool.WHOLE)]
    endless = pool.sealed_instances(config, task, partial(deal, pool.WHOLE))
    slow = pool.sealed_instances(config, task, partial(deal, TOO_SLOW))
    assert [case["id"] for case in endless] == [case["id"] for case in slow] == ["0", "1", "2"]
