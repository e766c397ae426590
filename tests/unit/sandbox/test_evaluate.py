"""The sandbox's bookkeeping around a toolchain: refusals, the cache, duplicates. A task of text answers."""

import shutil
from pathlib import Path

import pytest

from sandbox_service import cache
from sandbox_service.evaluate import MAX_CANDIDATE_BYTES, Evaluator
from shared.errors import TaskError
from shared.messages.records import Block, CandidateBatch
from shared.store.store import LocalStore
from shared.tasks.task import load_task

VERIFIER = """
import os, random

def draw(split, count, seed):
    return [{"id": str(index)} for index in range(count)]

def score(instance, content):
    print("a verifier that prints")
    if content == "die":
        os._exit(3)
    if content == "absurd":
        return 7.0
    if content == "judged":
        return {"outcome": "wrong", "score": 0.0, "detail": "no", "metrics": {"close": 0.5}}
    return random.random()
"""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guess")
    (folder / "harness").mkdir()
    for name in ("harness.toml", "scaffold.py"):
        (folder / "harness" / name).write_text("")
    (folder / "task.toml").write_text('name = "guess"\ntoolchain = "answer"\n')
    (folder / "verifier.py").write_text(VERIFIER)
    return folder


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("sandbox")
    found = Evaluator(LocalStore(folder / "store"), folder / "cache")
    yield found
    found.close()


def batch(task: Path, *contents: str, fresh: bool = False) -> CandidateBatch:
    entries = tuple((f"attempt-{index}", content) for index, content in enumerate(contents))
    block = Block(instance={"id": "1"}, entries=entries)
    return CandidateBatch(task=str(task), check="final", fresh=fresh, blocks=(block,))


def test_a_candidate_seen_before_costs_nothing_and_scores_the_same(task, evaluator):
    first = evaluator.evaluate(batch(task, "a", "b", "a"))
    again = evaluator.evaluate(batch(task, "b", "a"))
    assert first.cost.evaluations == 2
    assert again.cost.evaluations == 0
    assert first.blocks[0][0] == first.blocks[0][2]
    assert again.blocks[0] == (first.blocks[0][1], first.blocks[0][0])


def test_the_gate_never_reads_the_cache_and_evaluates_duplicates_apart(task, evaluator):
    known = evaluator.evaluate(batch(task, "c")).blocks[0][0]
    fresh = evaluator.evaluate(batch(task, "c", "c", fresh=True))
    assert fresh.cost.evaluations == 2
    assert len({known.score, *(found.score for found in fresh.blocks[0])}) == 3


def test_empty_and_overlong_candidates_are_refused_in_their_place(task, evaluator):
    found = evaluator.evaluate(batch(task, " \n", "d", "x" * (MAX_CANDIDATE_BYTES + 1))).blocks[0]
    assert [evaluation.outcome for evaluation in found] == ["refused", "ok", "refused"]
    assert found[0].score == 0.0
    assert "65537 bytes" in found[2].detail


def test_a_verifier_may_say_more_than_a_number(task, evaluator):
    (found,) = evaluator.evaluate(batch(task, "judged")).blocks[0]
    assert (found.outcome, found.detail, found.metrics) == ("wrong", "no", {"close": 0.5})


def test_a_score_out_of_bounds_is_an_error_of_the_task(task, evaluator):
    with pytest.raises(TaskError, match=r"outside of 0\.\.1"):
        evaluator.evaluate(batch(task, "absurd"))


def test_a_candidate_on_which_the_verifier_ends_is_at_fault_and_the_verifier_is_started_again(
    task, evaluator
):
    (found,) = evaluator.evaluate(batch(task, "die")).blocks[0]
    assert (found.outcome, found.score) == ("crashed", 0.0)
    assert evaluator.evaluate(batch(task, "e")).blocks[0][0].outcome == "ok"


def test_another_verifier_does_not_reuse_old_scores(task, evaluator, tmp_path):
    old = evaluator.evaluate(batch(task, "f")).cost.evaluations
    (tmp_path / "harness").mkdir()
    for name in ("task.toml", "harness/harness.toml", "harness/scaffold.py"):
        (tmp_path / name).write_bytes((task / name).read_bytes())
    (tmp_path / "verifier.py").write_text(VERIFIER + "# stricter\n")
    assert (old, evaluator.evaluate(batch(tmp_path, "f")).cost.evaluations) == (1, 1)


@pytest.mark.parametrize("change", ["edited", "replaced", "a file beside it", "linked data"])
def test_a_warm_verifier_is_started_again_when_its_task_is_another(task, tmp_path, change):
    folder, data = tmp_path / "task", tmp_path / "data.txt"
    shutil.copytree(task, folder)
    data.write_text("0.25")
    (folder / "data").symlink_to(tmp_path, target_is_directory=True)
    (folder / "beside.py").write_text("SCORE = 0.0")
    linked = "(__import__('pathlib').Path(__file__).parent / 'data/data.txt').read_text()"
    text = f"def score(instance, content):\n    return 0.25 * 0 + SCORE + float({linked})\n"
    text = f"from beside import SCORE\nDATA = {linked}\n" + text.replace(linked, "DATA")
    (folder / "verifier.py").write_text(text)
    evaluator = Evaluator(LocalStore(tmp_path / "store"), tmp_path / "cache")
    try:
        first = evaluator.evaluate(batch(folder, "a", fresh=True))
        if change == "edited":
            (folder / "verifier.py").write_text(text.replace("0.25 * 0", "0.25 * 1"))
        elif change == "replaced":
            (tmp_path / "new.py").write_text(text.replace("0.25 * 0", "0.25 * 1"))
            (tmp_path / "new.py").replace(folder / "verifier.py")
        elif change == "a file beside it":
            (folder / "beside.py").write_text("SCORE = 0.25")
        else:
            data.write_text("0.50")
        again = evaluator.evaluate(batch(folder, "a", fresh=True))
    finally:
        evaluator.close()

    assert (first.blocks[0][0].score, again.blocks[0][0].score) == (0.25, 0.5)
    assert first.verifier != again.verifier


def test_a_warm_verifier_stays_while_only_the_harness_changes(task, tmp_path):
    folder = tmp_path / "task"
    shutil.copytree(task, folder)
    (folder / "verifier.py").write_text(
        "import os\ndef score(instance, content):\n    return os.getpid() / 2**32\n"
    )
    evaluator = Evaluator(LocalStore(tmp_path / "store"), tmp_path / "cache")
    try:
        first = evaluator.evaluate(batch(folder, "a", fresh=True))
        (folder / "harness" / "scaffold.py").write_text("# another\n")
        again = evaluator.evaluate(batch(folder, "a", fresh=True))
    finally:
        evaluator.close()

    assert (first.blocks, first.verifier) == (again.blocks, again.verifier)


def test_what_was_scored_while_the_verifier_was_edited_counts_for_the_one_before_and_is_not_kept(
    task, tmp_path
):
    folder = tmp_path / "task"
    shutil.copytree(task, folder)
    (folder / "verifier.py").write_text(
        "import pathlib\n"
        "def score(instance, content):\n"
        "    with pathlib.Path(__file__).open('a') as me:\n"
        "        me.write('# another\\n')\n"
        "    return 0.5\n"
    )
    before = cache.verifier_digest(load_task(str(folder)))
    evaluator = Evaluator(LocalStore(tmp_path / "store"), tmp_path / "cache")
    try:
        first = evaluator.evaluate(batch(folder, "a"))
        again = evaluator.evaluate(batch(folder, "a"))
    finally:
        evaluator.close()

    assert first.verifier == before
    assert again.verifier not in (before, "")
    assert again.cost.evaluations == 1
