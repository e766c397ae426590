"""No clock, no files, no processes, no memory of another step: held by the kernel, whatever a scaffold
imports. Every attempt is shown to work outside.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.box.open import open_box
from shared.harness.steps import ScaffoldFailed, ScaffoldPool
from shared.tasks.task import AttemptSection

LIMITS = AttemptSection(step_s=20.0, step_memory_mb=512)
# Each prints or returns something only if it got what it wanted; what it wanted, as an expression.
ATTEMPTS = {
    "the time": "__import__('time').time() or 1 / 0",
    "the time of day": "__import__('datetime').datetime.now().year > 2000 or 1 / 0",
    "libc's clock": "__import__('ctypes').CDLL(None).time(None) or 1 / 0",
    "how long the machine is up": "open('/proc/uptime').read()",
    "processor time": "__import__('resource').getrusage(0).ru_utime",
    "a file of its own": "__import__('tempfile').NamedTemporaryFile(dir='/tmp')",
    "shared memory": "__import__('tempfile').NamedTemporaryFile(dir='/dev/shm')",
    "a folder of its own": "__import__('tempfile').TemporaryDirectory(dir='/tmp')",
    "a nameless file": "__import__('os').memfd_create('kept')",
    "the scaffold's neighbours": "__import__('os').listdir('/tmp')",
    "memory for all steps": "__import__('mmap').mmap(-1, 4096)",
    "System V memory": "1 / (__import__('ctypes').CDLL(None).shmget(0, 4096, 0o1600) + 1)",
    "a process": "__import__('os').fork() or __import__('os')._exit(0)",
    "a program": "__import__('subprocess').run(['true'])",
    "a thread": "__import__('threading').Thread(target=print).start()",
    "its parent's end": "__import__('os').kill(__import__('os').getppid(), 0)",
    "a socket": "__import__('socket').socket()",
    "a pipe": "__import__('os').pipe()",
}
SCAFFOLD = """
def step(instance, history, knobs, context):
    try:
        got = eval(instance["wish"])
    except Exception as error:
        return {"answer": {"content": f"refused: {type(error).__name__}"}}
    return {"answer": {"content": f"got {got}"}}
"""
KEEPS = """
import os, mmap
kept = []
try:
    kept.append(os.pipe())
    os.set_blocking(kept[0][0], False)
except OSError:
    pass
try:
    kept.append(mmap.mmap(-1, 4096))
except OSError:
    pass
handle = open(__import__("json").__file__, "rb", buffering=0)

def step(instance, history, knobs, context):
    seen = []
    for one in kept:
        try:
            if isinstance(one, tuple):
                os.write(one[1], b"x")
                seen.append(len(os.read(one[0], 99)))
                os.write(one[1], b"xx")
            else:
                one[0] += 1
                seen.append(one[0])
        except OSError:
            continue
    try:
        handle.read(10)
        seen.append(handle.tell())
    except OSError:
        pass
    return {"answer": {"content": str(seen)}}
"""


@pytest.fixture(scope="module")
def pool() -> Iterator[ScaffoldPool]:
    with ScaffoldPool(open_box()) as running:
        yield running


def harness(folder: Path, source: str) -> Path:
    (folder / "scaffold.py").write_text(source)
    return folder


def content(pool: ScaffoldPool, name: str, folder: Path, wish: str = "", owner: str = "") -> str:
    payload = {"instance": {"wish": wish}, "history": [], "knobs": {}, "context": {"seed": 1}}
    answer = pool.step(name, folder, payload, LIMITS, None, owner)["answer"]
    return str(answer["content"])


@pytest.mark.parametrize("name", ATTEMPTS)
def test_a_step_is_refused_what_is_no_argument_of_it(pool: ScaffoldPool, tmp_path: Path, name: str) -> None:
    assert content(pool, "wishes", harness(tmp_path, SCAFFOLD), ATTEMPTS[name]).startswith("refused: ")


@pytest.mark.parametrize("name", ATTEMPTS)
def test_outside_of_the_box_each_attempt_gets_it(name: str) -> None:
    assert subprocess.run([sys.executable, "-c", ATTEMPTS[name]], cwd="/tmp", timeout=30).returncode == 0


@pytest.mark.parametrize(
    "name", ["the time of day", "a file of its own", "how long the machine is up", "a thread"]
)
def test_nor_does_prepare_get_it(pool: ScaffoldPool, tmp_path: Path, name: str) -> None:
    source = f"def prepare(public, knobs):\n    return {ATTEMPTS[name]}\n" + SCAFFOLD

    with pytest.raises(ScaffoldFailed, match="does not load"):
        content(pool, name, harness(tmp_path, source))


def test_what_a_scaffold_opened_while_it_loaded_carries_nothing_from_step_to_step(
    pool: ScaffoldPool, tmp_path: Path
) -> None:
    folder = harness(tmp_path, KEEPS)

    first, second = content(pool, "keeps", folder), content(pool, "keeps", folder)

    assert first == second


def test_arms_and_runs_with_one_harness_have_processes_of_their_own(tmp_path: Path) -> None:
    mapped = "import numpy as np\nplace = str(np.zeros(1 << 22).ctypes.data)  # drawn for each process tree\n"
    folder = harness(tmp_path, f"{mapped}def step(*_):\n    return {{'answer': {{'content': place}}}}\n")
    with ScaffoldPool(open_box()) as pool:
        seen = {owner: content(pool, "maps", folder, owner=owner) for owner in ("a/base", "a/both", "b/base")}

        assert len(set(seen.values())) == 3
        assert content(pool, "maps", folder, owner="a/base") == seen["a/base"]  # the same, still warm
