"""Schedules as programs: rendered, compiled with the task's flags, run on fresh inputs, checked against
float64. And the task in the real sandbox: right programs are scored, wrong ones get the reason.
"""

import ctypes
import importlib.util
import random
import subprocess

import numpy as np
import pytest

from sandbox_service.evaluate import Evaluator
from shared.messages.records import Block, CandidateBatch
from shared.store.store import LocalStore
from shared.tasks.draw_program import load_verifier
from shared.tasks.task import TASKS

FOLDER = TASKS / "trimul"
verifier = load_verifier(FOLDER)
KERNEL = (FOLDER / "harness" / "prompts" / "kernel.md").read_text()
GOOD = {
    **{"products": "float32", "vec": 16, "rows": 4, "cols": 2, "prows": 8, "pcols": 2, "pair": "together"},
    **{"weights": "packed", "block": 64, "norm": "transposed", "outgate": "early", "sigmoid": "newton"},
    **{"stores": "streaming", "prefetch": "next", "pages": "huge", "threads": 2},
}


def load_scaffold():
    spec = importlib.util.spec_from_file_location("scaffold", FOLDER / "harness" / "scaffold.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


scaffold = load_scaffold()


def an_instance(n, c, b=1, mask="random", distribution="normal"):
    return {"B": b, "N": n, "C": c, "mask": mask, "distribution": distribution, "seed": 0}


# Sizes that no tile divides, a batch of two, heavy tails, C that is no multiple of a vector.
SHAPES = [
    an_instance(17, 32),
    an_instance(33, 24, distribution="cauchy"),
    an_instance(16, 64, mask="ones"),
    an_instance(5, 12, b=2),
    an_instance(40, 16, distribution="cauchy"),
]


def cases():
    """Every way to multiply with every first norm, everything else at random; every shape several times. Each
    shape once, and the rest are slow."""
    rng = random.Random(7)
    space = scaffold.SPACE
    pairs = [(products, norm) for products in space["products"] for norm in space["norm"]]
    drawn = [{**scaffold.draw(rng), "products": products, "norm": norm} for products, norm in pairs]
    drawn += [{**scaffold.draw(rng), "products": "float32", "vec": vec} for vec in space["vec"]]
    drawn += [
        {**GOOD, "prows": 14, "pcols": 4},
        {**GOOD, "vec": 4, "rows": 1, "cols": 3, "prows": 1, "pcols": 3},
    ]
    fixed = [(schedule, SHAPES[number % len(SHAPES)]) for number, schedule in enumerate(drawn)]
    more = [(scaffold.draw(rng), rng.choice(SHAPES)) for _ in range(20)]
    quick = len(SHAPES)
    slow = (pytest.param(*case, marks=pytest.mark.slow) for case in [*fixed[quick:], *more])
    return [*fixed[:quick], *slow]


def compiled(folder, schedule, instance):
    """The program's entry point."""
    source, library = folder / "schedule.c", folder / "schedule.so"
    source.write_text(scaffold.render(schedule, instance, KERNEL))
    command = ["gcc", *verifier.FLAGS, "-w", "-shared", "-fPIC", source, "-o", library, "-lm"]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library)).trimul


@pytest.mark.parametrize(("schedule", "instance"), cases())
def test_every_schedule_is_right_on_every_call(tmp_path, schedule, instance):
    entry = compiled(tmp_path, schedule, instance)
    for seed in (1, 2):  # twice: buffers are kept from call to call
        inputs = verifier.make_inputs(instance, np.random.default_rng(seed))
        dims, *arrays = inputs.values()
        out = np.full(verifier.output_shapes(instance)["out"], np.nan, np.float32)
        entry(*map(int, dims), *(ctypes.c_void_p(array.ctypes.data) for array in (*arrays, out)))
        reason = verifier.check(instance, verifier.expected(instance, inputs), {"out": out})
        assert reason == "", scaffold.dump(schedule)


@pytest.mark.parametrize("products", ["float32", "bf16x3"])
def test_a_number_as_three_bfloat16_is_multiplied_as_exactly_as_a_float32(tmp_path, products):
    instance = an_instance(32, 64)
    entry = compiled(tmp_path, {**GOOD, "products": products}, instance)
    inputs = verifier.make_inputs(instance, np.random.default_rng(3))
    dims, *arrays = inputs.values()
    out = np.empty_like(inputs["x"])
    entry(*map(int, dims), *(ctypes.c_void_p(array.ctypes.data) for array in (*arrays, out)))
    assert verifier.check_within(verifier.expected(instance, inputs), {"out": out}, 1e-6) == ""


def test_the_sandbox_scores_right_programs_and_tells_wrong_ones_why(tmp_path):
    instance = an_instance(32, 32)
    good, naive = scaffold.render(GOOD, instance, KERNEL), verifier.baseline(instance)
    split = scaffold.render({**GOOD, "products": "bf16x3"}, instance, KERNEL)  # the box lends the matrix unit
    unmasked = naive.replace("mask[p] *", "")
    halved = naive.replace("k < N; k++", "k < N; k += 2")
    entries = tuple(
        (str(number), text) for number, text in enumerate([good, naive, unmasked, halved, "{", split])
    )
    evaluator = Evaluator(LocalStore(tmp_path / "store"), tmp_path / "cache")
    try:
        batch = CandidateBatch(
            task="trimul", check="public", fresh=True, blocks=(Block(instance=instance, entries=entries),)
        )
        found = evaluator.evaluate(batch).blocks[0]
    finally:
        evaluator.close()
    assert [item.outcome for item in found] == ["ok", "ok", "wrong", "wrong", "compile_error", "ok"]
    assert found[0].metrics["speedup"] > 0
    assert found[0].score == pytest.approx(verifier.score(instance, found[0].metrics["speedup"]))
    assert "elements are off" in found[2].detail
    assert {"peak_share_projections", "peak_share_product", "peak_share_outputs"} < set(found[0].metrics)
    assert "peak_gflops" not in found[1].metrics  # the plain program tells nothing of its stages
    assert [item.score for item in found[2:5]] == [0, 0, 0]
