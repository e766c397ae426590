"""A verifier's drawn instances are checked before they are used; its failure is reported by the last line."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ratchet.tasks import new_task
from shared.errors import TaskError
from shared.tasks.draws import check_instances, draw
from shared.tasks.task import Task, find_task
from tests.running import ends_soon

HEAD = "import dataclasses, json, sys\n"
GOOD = "def draw(split, count, seed):\n    return [{'id': f'{split}-{i}', 'n': i} for i in range(count)]\n"


@pytest.fixture
def task_of(tmp_path: Path) -> Callable[[str], Task]:
    def of(verifier: str) -> Task:
        new_task.create(tmp_path / "mine")
        (tmp_path / "mine" / "verifier.py").write_text(HEAD + verifier)
        return find_task(str(tmp_path / "mine"))

    return of


@pytest.mark.parametrize(
    ("verifier", "message"),
    [
        ("def draw(split, count, seed):\n    return {'a': 1}", "must return a list"),
        ("def draw(split, count, seed):\n    return [{'n': 1}]", "instance 1 has no id"),
        ("def draw(split, count, seed):\n    return [{'id': True}]", "instance 1 has no id"),
        ("def draw(split, count, seed):\n    return [{'id': 'a'}] * 2", "instances 1 and 2 share the id 'a'"),
        ("def draw(split, count, seed):\n    return [{'id': '1'}, {'id': 1}]", "share the id 1"),
        ("def draw(split, count, seed):\n    return [{'id': 'a', 't': '\\ud83d'}]", "half of a surrogate"),
        ("def draw(split, count, seed):\n    return [{'id': 'a', 't': float('nan')}]", "not finite"),
        ("def draw(split, count, seed):\n    return [{'id': 'a', 't': {1, 2}}]", "not JSON serializable"),
        (
            "def draw(split, count, seed):\n    return [{'id': 'a', 'n': json}]",
            "instance 1: 'n' can't be JSON: .*module",
        ),
        ("def draw(split, count, seed):\n    return [json]", "instance 1 is of type module, not a dict"),
        ("def draw(split, count, seed):\n    yield {'id': 'a'}", "draw must not be a generator"),
        ("async def draw(split, count, seed):\n    return []", "draw must not be async"),
        ("class Verifier:\n    def draw(self): pass", "it has no draw"),
        ("json.dumps = lambda value: 'x'\n" + GOOD, "what is no JSON"),
        ("def draw(split, count, seed):\n    raise ValueError('one\\ntwo\\n')", "ValueError: one two"),
        (
            "def draw(split, count, seed):\n    raise ExceptionGroup('many', [ValueError('a')])",
            "ExceptionGroup: many",
        ),
        ("def draw(split, count, seed):\n    return {}['x']", "KeyError: 'x'"),
        ("def draw(split, count, seed):\n    sys.exit(0)", "exit code 0"),
        ("def draw(split, count, seed):\n    return input()", "EOFError"),
        ("draw = 3 +", "SyntaxError"),
        ("", "it has no draw"),
    ],
)
def test_a_draw_that_gives_no_instances_is_reported_in_a_line(task_of, verifier: str, message: str):
    with pytest.raises(TaskError, match=message):
        draw(task_of(verifier), "train", 3, 1)


def test_a_draw_that_never_ends_is_ended(task_of):
    with pytest.raises(TaskError, match="took longer than 1 s"):
        draw(task_of("def draw(split, count, seed):\n    while True: pass"), "train", 3, 1, timeout_s=1)


def test_a_thread_that_is_left_running_holds_no_draw_up(task_of):
    left = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    assert len(draw(task_of(left + GOOD), "train", 3, 1, 20.0)) == 3


def test_a_program_that_is_left_running_holds_no_draw_up_and_ends_with_it(task_of):
    left = "import subprocess\nleft = subprocess.Popen(['sleep', '600'])\n"
    named = "def draw(split, count, seed):\n    return [{'id': 'a', 'pid': left.pid}]\n"
    [instance] = draw(task_of(left + named), "train", 1, 1, 20.0)
    assert ends_soon(instance["pid"])


def test_a_draw_ends_with_the_process_that_asked_for_it(task_of, tmp_path: Path):
    told = tmp_path / "pid"
    tells = f"import os, pathlib, time\npathlib.Path({str(told)!r}).write_text(str(os.getpid()))\n"
    folder = str(task_of(f"{tells}time.sleep(600)\n").folder)
    asks = f"""from shared.tasks.draws import draw
from shared.tasks.task import find_task
draw(find_task({folder!r}), "train", 1, 1)"""
    with subprocess.Popen([sys.executable, "-c", asks], start_new_session=True) as asking:
        while not (told.exists() and told.read_text()):
            assert asking.poll() is None
            time.sleep(0.02)
        asking.kill()
    assert ends_soon(int(told.read_text()))


def test_what_a_verifier_prints_is_no_part_of_its_answer(task_of):
    printing = "print('hello from import')\n" + GOOD + "    \nsys.stdout.write('[')\n"
    assert [instance["n"] for instance in draw(task_of(printing), "train", 3, 1)] == [0, 1, 2]


def test_a_verifier_may_hold_a_dataclass_and_begin_with_a_byte_order_mark(task_of):
    task = task_of("")
    text = (
        "\ufefffrom __future__ import annotations\n" + HEAD + "@dataclasses.dataclass\nclass A:\n    n: int\n"
    )
    (task.folder / "verifier.py").write_text(text + GOOD, encoding="utf-8")
    assert len(draw(task, "train", 2, 1)) == 2


def test_the_place_where_it_went_wrong_is_the_hint(task_of):
    with pytest.raises(TaskError) as caught:
        draw(task_of("def draw(split, count, seed):\n    return {}['x']"), "train", 3, 1)
    assert 'verifier.py", line 3, in draw' in caught.value.hint


@pytest.mark.parametrize(
    ("returned", "hint"),
    [
        ("[{'id': 'a', 't': float('nan')}]", "whatever JSON can hold"),
        ("[{'n': 1}]", "its own id"),
        ("[{'id': 'a', 't': json}]", "see .*verifier.py"),
    ],
)
def test_the_hint_is_of_the_very_fault(task_of, returned: str, hint: str):
    with pytest.raises(TaskError) as caught:
        draw(task_of(f"def draw(split, count, seed):\n    return {returned}"), "train", 3, 1)
    assert re.search(hint, caught.value.hint)


def test_two_instances_of_a_file_with_one_id_are_refused(task_of):
    task = task_of(GOOD)
    check_instances(task, [{"id": "a"}, {"id": "b"}])
    with pytest.raises(TaskError, match="instances 1 and 3 share the id 'a'"):
        check_instances(task, [{"id": "a"}, {"id": "b"}, {"id": "a"}])
