"""A rehearsal calls all that a run calls of a verifier: what raises or is no score is a fault, what a model
could get without the task is a note.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from ratchet.tasks import new_task
from ratchet.tasks.rehearsal.client import Found, rehearse
from shared.tasks.task import find_task
from tests.parts.slow import one_in

TESTS = Path(__file__).parents[3]
DRAW = "import json, math, os, sys, time\nimport numpy as np\ndef draw(split, count, seed):\n    return []\n"
INSTANCE = {"id": "train-1-0", "text": "echo me", "n": 23}
Rehearse = Callable[..., Found]


@pytest.fixture
def of(tmp_path: Path) -> Rehearse:
    def of(verifier: str, toolchain: str = "answer", low: float = 0.0, **more: float) -> Found:
        new_task.create(tmp_path / "mine")
        manifest = tmp_path / "mine" / "task.toml"
        text = (
            manifest.read_text().replace('"answer" ', f'"{toolchain}" ').replace("low = 0.0", f"low = {low}")
        )
        manifest.write_text(text.replace("high = 1.0", "high = 5.0") if toolchain != "answer" else text)
        (tmp_path / "mine" / "verifier.py").write_text(DRAW + verifier)
        return rehearse(find_task(str(tmp_path / "mine")), [INSTANCE], ["four", "five!"], **more)

    return of


def score(body: str) -> str:
    return f"def score(instance, answer):\n    {body}\n"


GOOD = "return max(0.0, 1.0 - abs(len(answer.strip()) - instance['n']) / instance['n'])"


def test_a_sound_verifier_has_no_faults(of: Rehearse):
    found = of(score(GOOD))
    assert (found.faults, found.notes) == ((), ())
    assert found.scorings > 20


@pytest.mark.parametrize(
    ("body", "reported"),
    one_in(
        3,
        [
            ("raise KeyError('x')", "raised KeyError: 'x'"),
            ("sys.exit(1)", "raised SystemExit"),
            ("os._exit(1)", "ended the process (exit code 1)"),
            ("os._exit(0)", "ended the process (exit code 0)"),
            ("return None", "score is None"),
            ("return float('nan')", "it is nan"),
            ("return (0.5, 'good')", "of type tuple"),
            ("return 1.5", "outside of 0..1"),
            ("raise NotImplementedError", "NotImplementedError"),
            ("return input()", "EOFError"),
            ("return float(json.loads(answer)['x'])", "JSONDecodeError"),
            (
                "return min(1.0, max(0.0, int(answer) / 9)) if answer.strip('-').isdigit() else 0.0",
                "ValueError",
            ),
            ("return 0.5 if len(answer) < 60_000 else None", "60,000 letters"),
            ("return 0.5 if '\\x00' not in answer else 1 / 0", "a null character"),
            ("return 1.0 if answer == '[' else float(str(answer)[:3] == 'nan') * math.nan", "it is nan"),
            (
                "\n    try: return min(1, max(0, float(eval(answer))))\n    except BaseException: return 0",
                "as code",
            ),
        ],
    ),
)
def test_what_would_break_a_run_is_a_fault(of: Rehearse, body: str, reported: str):
    found = of(score(body))
    assert reported in " ".join(what for what, _ in found.faults)


def test_a_call_that_never_returns_is_named(of: Rehearse):
    found = of(score("\n    time.sleep(1000)"), timeout_s=8)
    assert found.faults == (("score(an instance, one letter) did not return within 8 s", "verifier.py"),)


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        ("return 1.0", "all 24 answers score 1"),
        ("return float('right' in answer)", "an instruction scores 1"),
        ("return min(1.0, len(answer) / 100)", "60,000 letters scores 1"),
        ("return float(instance['text'] in answer)", "the instance's own 'text' scores 1"),
        ("return time.time_ns() % 1000 / 1000", "scores differently each time"),
    ],
)
def test_what_could_be_gamed_is_noted(of: Rehearse, body: str, reported: str):
    found = of(score(body))
    assert found.faults == ()
    assert reported in "; ".join(found.notes)


@pytest.mark.parametrize("folder", ["tiny_kernel", "tiny_cuda", "tiny_python"])
def test_sound_tasks_of_every_toolchain_have_no_faults(folder: str):
    task = find_task(str(TESTS / "live" / "toolchains" / folder))
    found = rehearse(task, [{"id": "a", "n": 500}], [])
    assert (found.faults, found.notes) == ((), ())


def kernel(**changed: str) -> str:
    source = (TESTS / "live" / "toolchains" / "tiny_kernel" / "verifier.py").read_text()
    return source + "\n".join(f"def {name}{text}" for name, text in changed.items())


TOLD = "(instance):\n    return {'out': (instance['n'],), 'told': (2,)}"


def test_nothing_is_expected_of_an_output_that_is_only_measured(of: Rehearse):
    found = of(kernel(output_shapes=TOLD, measures="(*given):\n    return {}"), toolchain="c", low=-1.0)
    assert found.faults == ()


@pytest.mark.parametrize(
    ("changed", "reported"),
    one_in(
        2,
        [
            ({"expected": "(instance, inputs):\n    raise NotImplementedError('port it')"}, "expected"),
            ({"check": "(instance, expected, got):\n    raise NotImplementedError('port it')"}, "check"),
            ({"make_inputs": "(instance, rng):\n    raise NotImplementedError('port it')"}, "make_inputs"),
            ({"score": "(instance, speedup):\n    return None"}, "score is None"),
            ({"score": "(instance, speedup):\n    return math.log(speedup)"}, "outside of -1..5"),
            ({"check": "(instance, expected, got):\n    return 'wrong'"}, "refuses the expected outputs"),
            ({"output_shapes": "(instance):\n    return {'out': (3,)}"}, "but output_shapes gives"),
            ({"output_shapes": TOLD}, "but output_shapes gives"),
        ],
    ),
)
def test_every_function_of_a_kernel_s_verifier_is_called(
    of: Rehearse, changed: dict[str, str], reported: str
):
    found = of(kernel(**changed), toolchain="c", low=-1.0)
    assert reported in " ".join(what for what, _ in found.faults)


@pytest.mark.parametrize(
    ("changed", "reported"),
    [
        ({"check": "(instance, expected, got):\n    return ''"}, "zeros pass the check"),
        ({"score": "(instance, speedup):\n    return 1.0"}, "every speed-up scores 1"),
        ({"score": "(instance, speedup):\n    return 1 / (1 + speedup)"}, "a slower program can win"),
        (
            {
                "make_inputs": "(instance, rng):\n    n = instance['n']\n"
                "    a = np.arange(n, dtype=np.float32)\n"
                "    return {'dims': np.array([n]), 'a': a, 'b': a}"
            },
            "whatever its rng",
        ),
    ],
)
def test_how_a_kernel_task_could_be_gamed_is_noted(of: Rehearse, changed: dict[str, str], reported: str):
    found = of(kernel(**changed), toolchain="c", low=-1.0)
    assert reported in "; ".join(found.notes)


PROGRAM = "ENTRY, GIVEN = 'f', ('x',)\ndef make_inputs(instance, rng):\n    return {'x': rng.random(5)}\n"
SHAPES = "def output_shapes(instance, inputs):\n    return {'out': (5,)}\n"
JUDGE = "def judge(instance, inputs, outputs):\n    return "


def test_a_judge_that_pays_for_zeros_is_noted(of: Rehearse):
    found = of(f"{PROGRAM}{SHAPES}{JUDGE}5.0 if outputs['out'][0] == 0 else 0\n", toolchain="python")
    assert "zeros for an output scores 5" in found.notes


def test_a_judge_without_shapes_must_take_any_output(of: Rehearse):
    careless = f"{PROGRAM}{JUDGE}float((outputs['out'] - inputs['x']).mean() > 9)\n"
    assert "judge" in of(careless, toolchain="python").faults[0][0]
