"""Scaffolds in their boxes: good ones answer, bad ones fail by name, and neither leaves anything behind."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.box.open import open_box
from shared.errors import BoxError
from shared.harness.steps import ScaffoldFailed, ScaffoldPool
from shared.tasks.task import AttemptSection

LIMITS = AttemptSection(step_s=20.0, step_memory_mb=256)
HASTY = AttemptSection(step_s=0.5, step_memory_mb=256)
FAULTS = '''"""One fault a kind."""
import json
import random

seen = []


def step(instance, history, knobs, context):
    import os
    import sys

    kind = instance["kind"]
    seen.append(kind)
    if kind == "good":
        drawn = [len(seen), random.random(), hash("x"), knobs]
        return {"answer": {"content": json.dumps(drawn)}}
    if kind == "fields":
        return {"answer": {"content": " ".join(instance)}}
    if kind == "noisy":
        print("garbage" * 100_000)
        sys.stderr.write("garbage" * 100_000)
        os.write(1, b"garbage\\n")
    if kind == "loops":
        while True:
            pass
    if kind == "raises":
        return history[5]
    if kind == "raises half a character":
        raise ValueError("\\ud800")
    if kind == "exits":
        sys.exit(3)
    if kind == "ends":
        os._exit(3)
    if kind == "eats":
        return [bytearray(1 << 24) for _ in range(1000)]
    if kind == "object":
        return {"answer": {1, 2}}
    if kind == "nan":
        return {"answer": {"content": float("nan")}}
    if kind == "huge":
        return {"answer": {"content": "x" * 3_000_000}}
    if kind == "recurses":
        return step(instance, history, knobs, context)
    return {"answer": {"content": ""}}
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scaffold(tmp_path_factory.mktemp("harness"), FAULTS)


@pytest.fixture(scope="module")
def pool() -> Iterator[ScaffoldPool]:
    with ScaffoldPool(open_box()) as made:
        yield made


def scaffold(folder: Path, source: str) -> Path:
    (folder / "scaffold.py").write_text(source)
    return folder


def payload(kind: str, seed: int = 1) -> dict[str, Any]:
    return {"instance": {"kind": kind}, "history": [], "knobs": {"a": 1}, "context": {"seed": seed}}


def test_equal_steps_give_equal_actions_and_remember_nothing(pool: ScaffoldPool, folder: Path) -> None:
    first, second = (pool.step("faults", folder, payload("good"), LIMITS) for _ in range(2))
    other = pool.step("faults", folder, payload("good", seed=2), LIMITS)

    assert first == second != other
    assert first["answer"]["content"].startswith("[1, ")


def test_a_field_that_is_the_verifiers_own_does_not_reach_the_scaffold(
    pool: ScaffoldPool, folder: Path
) -> None:
    asked = payload("fields")
    asked["instance"]["_answer"] = "right"
    assert "_answer" in asked["instance"]
    content = pool.step("h", folder, asked, LIMITS)["answer"]["content"]
    assert set(content.split()) == set(asked["instance"]) - {"_answer"}


def test_what_a_scaffold_prints_does_not_reach_the_protocol(pool: ScaffoldPool, folder: Path) -> None:
    assert "answer" in pool.step("faults", folder, payload("noisy"), LIMITS)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("raises", r"IndexError: list index out of range \(scaffold.py line 27\)"),
        ("raises half a character", "ValueError: \ufffd"),
        ("exits", "SystemExit: 3"),
        ("ends", "exit code 3"),
        ("eats", "MemoryError"),
        ("object", "not JSON serializable"),
        ("nan", "not JSON compliant"),
        ("huge", "longer than"),
        ("recurses", "RecursionError"),
    ],
)
def test_a_bad_step_fails_by_name_and_the_next_one_works(
    pool: ScaffoldPool, folder: Path, kind: str, reason: str
) -> None:
    with pytest.raises(ScaffoldFailed, match=reason):
        pool.step("faults", folder, payload(kind), LIMITS)

    assert "answer" in pool.step("faults", folder, payload("good"), LIMITS)


@pytest.mark.parametrize("kind", ["loops"])
def test_a_step_that_does_not_end_is_ended(pool: ScaffoldPool, folder: Path, kind: str) -> None:
    with pytest.raises(ScaffoldFailed, match=r"longer than 0.5 s"):
        pool.step("faults", folder, payload(kind), HASTY)

    assert "answer" in pool.step("faults", folder, payload("good"), LIMITS)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nonsense\n", "does not load: ModuleNotFoundError"),
        ("x = 1\n", "does not load: KeyError: 'step'"),
        ("raise SystemExit\n", "does not load: SystemExit"),
        ("x = bytearray(1 << 40)\n", "does not load: MemoryError"),
        ("import os\nos._exit(0)\n", "ended its process"),
    ],
)
def test_a_scaffold_that_does_not_load_fails_by_name(
    pool: ScaffoldPool, tmp_path: Path, source: str, reason: str
) -> None:
    with pytest.raises(ScaffoldFailed, match=reason):
        pool.step(source, scaffold(tmp_path, source), payload("good"), LIMITS)


def test_an_interpreter_that_can_not_start_is_a_broken_box(pool: ScaffoldPool, folder: Path) -> None:
    starved = LIMITS.model_copy(update={"step_memory_mb": 4})

    with pytest.raises(BoxError):
        pool.step("faults", folder, payload("good"), starved)


def test_the_least_used_process_makes_room(tmp_path: Path) -> None:
    with ScaffoldPool(open_box(), warm=1) as small:
        for name in ("one", "two", "one"):
            (tmp_path / name).mkdir(exist_ok=True)
            source = f"def step(a, b, c, d):\n    return {{'answer': {{'content': '{name}'}}}}\n"
            made = scaffold(tmp_path / name, source)
            assert small.step(name, made, payload("good"), LIMITS)["answer"]["content"] == name


def test_a_scaffold_may_use_numpy_and_scikit_learn(pool: ScaffoldPool, tmp_path: Path) -> None:
    source = """import numpy
from sklearn.linear_model import LinearRegression


def step(instance, history, knobs, context):
    model = LinearRegression().fit(numpy.array([[0.0], [1.0]]), [1.0, 3.0])
    return {"answer": {"content": f"{model.predict([[2.0]])[0]:.3f}"}}
"""
    limits = LIMITS.model_copy(update={"step_memory_mb": 1024})

    action = pool.step("sklearn", scaffold(tmp_path, source), payload("good"), limits)

    assert action["answer"]["content"] == "5.000"


def test_a_scaffold_reads_its_tasks_public_files_and_may_not_change_them(
    pool: ScaffoldPool, tmp_path: Path
) -> None:
    (tmp_path / "harness").mkdir()
    source = """def step(instance, history, knobs, context):
    try:
        open("/public/new.txt", "w")
    except OSError:
        return {"answer": {"content": open("/public/words.txt").read()}}
"""
    made = scaffold(tmp_path / "harness", source)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "words.txt").write_text(name)

    actions = [
        pool.step("reads", made, payload("good"), LIMITS, tmp_path / name)["answer"]
        for name in ("one", "two")
    ]

    assert [action["content"] for action in actions] == ["one", "two"]


def test_closing_a_pool_ends_its_processes(folder: Path) -> None:
    with ScaffoldPool(open_box()) as own:
        own.step("faults", folder, payload("good"), LIMITS)
        pids = [host.process.pid for host in own._hosts.values()]
        assert [Path(f"/proc/{pid}").exists() for pid in pids] == [True]

    deadline = time.monotonic() + 5
    while Path(f"/proc/{pids[0]}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{pids[0]}").exists()


PREPARES = """
def prepare(public, knobs):
    with open(f"{public}/word.txt") as file:
        return {"word": file.read(), "knob": knobs["n"], "steps": []}


def step(instance, history, knobs, context):
    prepared = context["prepared"]
    prepared["steps"].append(1)  # in a fork of its own: the next step sees nothing of it
    return {"answer": {"content": f"{prepared['word']} {prepared['knob']} {len(prepared['steps'])}"}}
"""


def test_what_a_scaffold_prepares_is_there_at_every_step_and_no_step_changes_it(tmp_path: Path) -> None:
    public, folder = tmp_path / "public", tmp_path / "harness"
    public.mkdir()
    folder.mkdir()
    (public / "word.txt").write_text("law")
    (folder / "scaffold.py").write_text(PREPARES)
    payload: dict[str, Any] = {"instance": {}, "history": [], "knobs": {"n": 7}, "context": {"seed": 0}}
    with ScaffoldPool(open_box()) as pool:
        answers = [
            pool.step("prepares", folder, payload, LIMITS, public)["answer"]["content"] for _ in range(2)
        ]
        assert answers == ["law 7 1", "law 7 1"]
        with pytest.raises(ScaffoldFailed, match="does not load: FileNotFoundError"):
            pool.step("prepares", folder, payload, LIMITS, None)


def test_what_a_scaffold_prepares_by_its_knobs_is_prepared_for_each_setting(
    pool: ScaffoldPool, tmp_path: Path
) -> None:
    source = """
def prepare(public, knobs):
    return {"prepared": knobs["a"]}


def step(instance, history, knobs, context):
    return {"answer": {"content": f"{context['prepared']['prepared']} {knobs['a']}"}}
"""
    folder = scaffold(tmp_path, source)
    asked = [pool.step("knobs", folder, payload("good") | {"knobs": {"a": a}}, LIMITS) for a in (1, 2, 1)]
    assert [answer["answer"]["content"] for answer in asked] == ["1 1", "2 2", "1 1"]


def test_functions_of_its_own_may_be_prepared_but_nothing_that_can_not_be_pickled(
    pool: ScaffoldPool, tmp_path: Path
) -> None:
    source = """
def double(x):
    return 2 * x


def prepare(public, knobs):
    return double if knobs["a"] == 1 else lambda x: x


def step(instance, history, knobs, context):
    return {"answer": {"content": str(context["prepared"](21))}}
"""
    folder = scaffold(tmp_path, source)

    assert pool.step("own", folder, payload("good"), LIMITS)["answer"]["content"] == "42"
    with pytest.raises(ScaffoldFailed, match=r"does not load: .*[Pp]ickl"):
        pool.step("own", folder, payload("good") | {"knobs": {"a": 2}}, LIMITS)
