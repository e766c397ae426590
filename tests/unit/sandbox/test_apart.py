"""A candidate that breaks its own evaluation is at fault for that, and for nothing else; a broken instance is
lost alone. Verifiers that die stand for whatever can break; all of it runs in real processes.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ratchet.tasks import new_task
from sandbox_service.evaluate import Evaluator
from shared.errors import BoxError, VerifierError
from shared.messages.records import Block, CandidateBatch, Evaluation
from shared.store.store import LocalStore
from tests.parts.slow import one_in

VERIFIER = """
import os, signal
def draw(split, count, seed):
    return [{"id": str(index)} for index in range(count)]
def score(instance, content):
    if content == "kill" or instance["id"] == "lost":
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does for want of memory
    if content == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if content == "odd":
        return {"outcome": "wrong", "score": 0.0, "detail": "it was \\ud800"}
    if instance["id"] == "broken":
        os._exit(3)
    return 0.5
"""


@pytest.fixture
def evaluate(tmp_path: Path) -> Iterator[Callable[..., tuple[tuple[Evaluation, ...], ...]]]:
    new_task.create(tmp_path / "mine")
    (tmp_path / "mine" / "verifier.py").write_text(VERIFIER)
    with ExitStack() as stack:
        evaluator = Evaluator(LocalStore(tmp_path / "store"), tmp_path / "cache")
        stack.callback(evaluator.close)

        def run(**instances: list[str]) -> tuple[tuple[Evaluation, ...], ...]:
            blocks = tuple(
                Block(instance={"id": name}, entries=tuple((str(i), text) for i, text in enumerate(contents)))
                for name, contents in instances.items()
            )
            task = str(tmp_path / "mine")
            return evaluator.evaluate(
                CandidateBatch(task=task, check="final", fresh=True, blocks=blocks)
            ).blocks

        yield run


@pytest.mark.parametrize("content", one_in(2, ["kill", "crash"]))
def test_what_ends_the_verifier_gets_the_lowest_score_and_the_others_theirs(evaluate, content: str) -> None:
    ((good, bad, fine), (other,)) = evaluate(a=["x", content, "y"], b=["z"])

    assert [good.score, fine.score, other.score] == [0.5, 0.5, 0.5]
    assert (bad.outcome, bad.score) == ("crashed", 0.0)
    assert "alone and twice" in bad.detail


def test_one_candidate_alone_in_its_batch_is_told_from_a_broken_machine_by_a_control(evaluate) -> None:
    ((bad,),) = evaluate(a=["kill"])

    assert bad.outcome == "crashed"


@pytest.mark.slow
def test_an_instance_that_can_t_be_evaluated_is_lost_alone(evaluate) -> None:
    (good, lost) = evaluate(a=["x"], lost=["x", "y"])

    assert good[0].score == 0.5
    assert [one.outcome for one in lost] == ["lost", "lost"]


@pytest.mark.slow
def test_where_nothing_can_be_evaluated_the_batch_is_an_error(evaluate) -> None:
    with pytest.raises(BoxError, match="signal 9"):
        evaluate(lost=["x", "y"])


@pytest.mark.slow
def test_a_verifier_that_breaks_on_the_control_too_ends_the_run(evaluate) -> None:
    with pytest.raises(VerifierError, match="exit code 3"):
        evaluate(a=["x"], broken=["x"])


def test_halves_of_surrogate_pairs_do_not_reach_the_store(evaluate) -> None:
    ((odd,),) = evaluate(a=["odd"])

    assert odd.detail == "it was \ufffd"
