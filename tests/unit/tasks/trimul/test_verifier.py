"""The trusted side of trimul: splits, masks, the operator's own properties, what the check lets through."""

import json
import math

import numpy as np
import pytest

from shared.tasks.draw_program import load_verifier
from shared.tasks.task import TASKS, load_task

verifier = load_verifier(TASKS / "trimul")
SPLITS = ("train", "gate", "test")


def an_instance(n=6, c=8, **changes):
    return {"B": 1, "N": n, "C": c, "mask": "random", "distribution": "normal", "seed": 1, **changes}


def inputs_of(instance, seed=0):
    return verifier.make_inputs(instance, np.random.default_rng(seed))


def test_no_two_splits_share_a_shape_or_an_instance():
    drawn = {split: verifier.draw(split, 300, seed=4) for split in SPLITS}
    lines = [{instance["N"] for instance in drawn[split]} for split in SPLITS]
    assert not lines[0] & lines[1]
    assert not lines[0] & lines[2]
    assert not lines[1] & lines[2]
    assert len({instance["id"] for split in SPLITS for instance in drawn[split]}) == 900


def test_a_seed_gives_the_same_instances_and_another_seed_fresh_ones():
    again, other = verifier.draw("gate", 8, seed=1), verifier.draw("gate", 8, seed=2)
    assert verifier.draw("gate", 8, seed=1) == again
    assert not {item["id"] for item in again} & {item["id"] for item in other}
    assert json.loads(json.dumps(again)) == again


def test_a_large_draw_repeats_no_instance():
    """Of seed 2's first 60,000 two are the same."""
    drawn = verifier.draw("gate", 60_000, seed=2)
    assert len({instance["id"] for instance in drawn}) == len(drawn) == 60_000


def test_what_is_drawn_and_what_a_person_may_ask_for_passes_the_check():
    for instance in [instance for split in SPLITS for instance in verifier.draw(split, 50, seed=4)]:
        assert verifier.check_instance(instance) == ""
    assert verifier.check_instance(an_instance(n=512, c=128, mask=True)) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"N": None}, "N must be a whole number"),
        ({"N": 0}, "N must be a whole number"),
        ({"N": 16.0}, "N must be a whole number"),
        ({"B": True}, "B must be a whole number"),
        ({"C": 10**6}, "C must be a whole number from 1 to"),
        ({"N": 1024, "C": 128}, "may be at most"),
        ({"mask": "False"}, "mask must be"),
        ({"mask": 1}, "mask must be"),
        ({"distribution": ["normal"]}, "distribution must be"),
    ],
)
def test_an_instance_that_can_not_be_taken_is_told_why(change, reason):
    assert reason in verifier.check_instance(an_instance() | change)
    assert "B must be" in verifier.check_instance({})


def test_masks_are_real_and_the_word_false_is_no_mask():
    ones = inputs_of(an_instance(mask=False))["mask"]
    mixed = inputs_of(an_instance(mask="random", n=16))["mask"]
    assert (ones == 1).all()
    assert set(np.unique(mixed)) == {0, 1}
    with pytest.raises(ValueError, match="mask is"):
        inputs_of(an_instance(mask="False"))


def test_the_reference_is_the_operator_where_it_can_be_done_by_hand():
    """One position, two channels: LN gives -1 and 1, gates are sigmoid(0) = 1/2, one channel is not 0."""
    instance = an_instance(n=1, c=2, mask="ones")
    inputs = inputs_of(instance)
    inputs["x"][:] = [3, 5]
    inputs["ln1_w"][:], inputs["ln1_b"][:] = 1, 0
    for name in ("wl", "wr", "wlg", "wrg", "wog", "wout"):
        inputs[name][:] = 0
    inputs["wl"][7], inputs["wr"][7] = [0, 2], [-4, 0]  # left = 2 / 2, right = 4 / 2: product = 2
    inputs["ln2_w"][:], inputs["ln2_b"][:] = 1, 0
    inputs["wout"][:, 7] = [1, 10]
    mean = 2 / 128
    normal = (2 - mean) / math.sqrt(((2 - mean) ** 2 + 127 * mean**2) / 128 + 1e-5)
    out = verifier.expected(instance, inputs)["out"]
    np.testing.assert_allclose(out[0, 0, 0], [normal / 2, 5 * normal], rtol=1e-4)


def test_a_masked_out_line_leaves_only_the_second_norms_bias():
    instance = an_instance(mask="ones")
    inputs = inputs_of(instance)
    inputs["mask"][0, 2] = 0
    changed = {**inputs, "ln2_w": inputs["ln2_w"] * 3}
    before, after = (verifier.expected(instance, given)["out"] for given in (inputs, changed))
    np.testing.assert_allclose(before[0, 2], after[0, 2])
    assert not np.allclose(before[0, 1], after[0, 1])


def test_the_check_refuses_one_miss_a_nan_and_many_small_errors():
    instance = an_instance()
    want = verifier.expected(instance, inputs_of(instance))
    right = want["out"].astype(np.float32)
    assert verifier.check(instance, want, {"out": right}) == ""
    missed, hollow = right.copy(), right.copy()
    missed[0, 1, 2, 3] += 1
    hollow[0, 0, 0, 0] = np.nan
    assert "1 of 288 elements are off; the first at [0, 1, 2, 3]" in verifier.check(
        instance, want, {"out": missed}
    )
    assert "not finite" in verifier.check(instance, want, {"out": hollow})
    assert "RMS" in verifier.check(instance, want, {"out": right * np.float32(1.01)})


@pytest.mark.parametrize("name", ["wl", "wr", "wog", "wout"])
def test_half_precision_is_refused_on_a_cpu_and_allowed_on_a_gpu(name):
    instance = an_instance(n=16, c=16)
    inputs = inputs_of(instance)
    want = verifier.expected(instance, inputs)
    halved = {**inputs, name: inputs[name].astype(np.float16)}
    got = {"out": verifier.expected(instance, halved)["out"].astype(np.float32)}

    assert "RMS" in verifier.check(instance, want, got)
    assert load_verifier(TASKS / "trimul_cuda").check(instance, want, got) == ""


def test_the_score_is_straight_in_the_log_and_stays_within_the_tasks_bounds():
    bounds = load_task("trimul").manifest.score
    scores = [verifier.score(an_instance() | {"N": 81}, s) for s in (0.0, 1.0, 3.0, 9.0, 1e9)]
    assert scores == pytest.approx([0, 0, 0.25, 0.5, 1])  # at N = 81 nine times the naive speed is half way
    assert (bounds.low, bounds.high) == (0.0, 1.0)


def told(peak=0.0, stages=(0, 0, 0, 0)):
    return {"told": np.array([*stages, peak], np.float32)}


def test_the_shares_of_the_peak_are_those_of_a_stage_worked_out_by_hand():
    instance = an_instance(n=10, c=16)  # product: 2 x 10^3 x 128 operations = 256,000
    shares = verifier.measures(instance, told(peak=2.0), told(stages=(1, 2, 256e-6, 4)))
    assert shares["peak_gflops"] == 2
    assert shares["peak_share_product"] == pytest.approx(0.5)  # 1e9 a second, of 2e9
    assert shares["peak_share_outputs"] == pytest.approx(2 * 100 * 16 * 128 / 4 / 2e9)
    assert shares["peak_share_projections"] == pytest.approx(5 * 2 * 100 * 16 * 128 / 2 / 2e9)


def test_a_program_that_tells_nothing_has_no_shares():
    assert verifier.measures(an_instance(), told(peak=2.0), told()) == {}
    assert verifier.measures(an_instance(), told(), told(stages=(1, 1, 1, 1))) == {}


def test_some_train_instances_are_larger_than_the_caches():
    sizes = [instance["N"] for instance in verifier.draw("train", 400, seed=1)]
    assert 0.06 < sum(size >= 128 for size in sizes) / len(sizes) < 0.2
