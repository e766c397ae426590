"""Findings in a finished run's traces: scores of all that was tried, and the best answer."""

from pathlib import Path

import pytest

from ratchet.runs import findings
from shared.ledger.history.state import Generation, Rollout, RunHistory
from shared.messages import events as e
from shared.messages.records import AttemptState, Evaluation
from shared.store.store import LocalStore, put_json
from tests.unit.feedback.attempts import attempt, shard


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def _history(store: LocalStore, *attempts: AttemptState, purpose: str = "train") -> RunHistory:
    about = {"run_id": "r", "generation": 1, "purpose": purpose}
    opened = e.RolloutsOpened(**about, config="c", instances="i", releases=(), seeds=())
    finished = e.ShardFinished(**about, result=put_json(store, shard(attempts)), join=None)
    generation = Generation(1, rollouts={(opened.purpose, 0): Rollout(opened, {"0": finished})})
    return RunHistory(all={1: generation})


def _looked_at_twice(name: str, tried: float, final: float) -> AttemptState:
    made = attempt(name, tried, reply=name)
    return made.model_copy(update={"final": Evaluation(outcome="ok", score=final)})


def test_the_best_is_told_by_its_second_look_and_not_by_a_lucky_first(store: LocalStore) -> None:
    lucky, good = _looked_at_twice("lucky", 0.9, 0.3), _looked_at_twice("good", 0.6, 0.7)

    found = findings.read(_history(store, lucky, good), store)

    assert found.best is not None
    assert (found.best.candidate.content, found.best.evaluation.score) == ("program of good", 0.7)
    assert found.scores == {1: [0.9, 0.6]}, "the curve is of all that was tried"


def test_without_a_final_evaluation_the_best_trial_counts(store: LocalStore) -> None:
    cut_off = attempt("1", 0.4).model_copy(update={"answer": None, "final": None})

    found = findings.read(_history(store, cut_off), store)

    assert found.best is not None
    assert found.best.evaluation.score == 0.4


def test_nothing_is_chosen_by_what_the_gate_or_the_sealed_test_saw(store: LocalStore) -> None:
    for purpose in ("confirm", "test"):
        assert findings.read(_history(store, attempt("1", 0.9), purpose=purpose), store).best is None


def test_the_best_programs_come_once_each_and_without_those_that_failed(store: LocalStore) -> None:
    attempts = [attempt("1", 0.2, reply="a"), attempt("2", 0.6, reply="b"), attempt("3", 0.9, reply="a")]
    failed = attempt("4", 1.0, reply="c", outcome="wrong")

    found = findings.best_contents(_history(store, *attempts, failed), store, most=5)

    assert found == ["program of a", "program of b"]
