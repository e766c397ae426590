"""PUCT by hand-computed numbers."""

import math
from pathlib import Path

import pytest

from agent_service.archive import Archive, fold, pick, puct_scores
from shared.messages.events import ShardFinished
from shared.messages.records import (
    AttemptPlan,
    AttemptState,
    Candidate,
    Evaluation,
    Outcome,
    Parent,
    Release,
    Sample,
    ShardState,
    Turn,
)
from shared.store.store import LocalStore, put_json

RELEASE = Release(base="b", harness="h")


def attempt(
    name: str, score: float, parent: str | None = None, outcome: Outcome = "ok", instance: int = 1
) -> AttemptState:
    start = Parent(content=parent, reply="", score=0.0, node=parent) if parent else None
    return AttemptState(
        plan=AttemptPlan(
            attempt_id=name, instance={"id": instance}, arm="live", release=RELEASE, seed=1, parent=start
        ),
        turns=(Turn(action={"ask": []}, replies=(Sample(text=f"reply {name}"),)),),
        answer=Candidate(content=f"content {name}", samples=(0,)),
        final=Evaluation(outcome=outcome, score=score),
    )


def archive_of(*attempts: AttemptState) -> Archive:
    archive = Archive()
    for one in attempts:
        archive.add(one, 0.0)
    return archive


def test_puct_follows_the_formula() -> None:
    # a (0.5) bore c (0.8) and a failure; c bore d (0.6); b (0.2) is untried.
    archive = archive_of(
        attempt("a", 0.5),
        attempt("b", 0.2),
        attempt("c", 0.8, "a"),
        attempt("x", 0.0, "a", "wrong"),
        attempt("d", 0.6, "c"),
    )
    kept = archive.kept()
    assert [node.node for node in kept] == ["c", "d", "a", "b"]  # priors 0.4, 0.3, 0.2, 0.1
    assert archive.expansions == 3
    assert archive.visits == {"a": 3, "c": 1}  # d counts for c and for a
    root = math.sqrt(1 + 3)
    scale = 0.8 - 0.2
    assert puct_scores(archive, kept) == pytest.approx(
        [
            0.6 + scale * 0.4 * root / 2,  # c: its best child is d
            0.6 + scale * 0.3 * root / 1,  # d: never expanded, its own score
            0.8 + scale * 0.2 * root / 4,  # a: its best child is c
            0.2 + scale * 0.1 * root / 1,  # b
        ]
    )


def test_a_picked_node_blocks_its_lineage_in_the_batch() -> None:
    archive = archive_of(attempt("a", 0.5), attempt("c", 0.8, "a"), attempt("d", 0.9, "c"), attempt("b", 0.2))
    assert [node.node for node in pick(archive, 4)] == ["d", "b"]
    assert [node.node for node in pick(archive, 1)] == ["d"]


def test_two_children_of_a_parent_are_kept_and_all_that_started_from_nothing() -> None:
    archive = archive_of(
        *(attempt(f"root{i}", 0.1 + i / 100) for i in range(5)),
        *(attempt(f"child{i}", 0.5 + i / 100, "root0") for i in range(4)),
    )
    assert [node.node for node in archive.kept()] == [
        "child3",
        "child2",
        "root4",
        "root3",
        "root2",
        "root1",
        "root0",
    ]


def test_failures_and_worthless_candidates_are_no_nodes() -> None:
    archive = archive_of(attempt("a", 0.0), attempt("b", 0.0, outcome="crashed"))
    assert archive.kept() == pick(archive, 3) == []
    assert puct_scores(archive, []) == []


def test_a_parent_carries_the_candidate_and_the_reply_that_it_came_from() -> None:
    [parent] = pick(archive_of(attempt("a", 0.5)), 1)
    assert parent == Parent(content="content a", reply="reply a", score=0.5, node="a")


def test_a_better_public_candidate_counts_too() -> None:
    tried = Turn(
        action={"try": [{"content": "tried", "samples": [0]}]}, results=(Evaluation(outcome="ok", score=0.7),)
    )
    one = attempt("a", 0.5)
    [parent] = pick(archive_of(one.model_copy(update={"turns": (*one.turns, tried)})), 1)
    assert (parent.content, parent.score) == ("tried", 0.7)


def test_only_train_shards_are_folded(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    shards = {
        purpose: put_json(store, ShardState(attempts=(attempt(purpose, 0.5),)))
        for purpose in ("train", "screen", "test")
    }
    events = [
        ShardFinished(run_id="r", purpose=purpose, result=result)
        for purpose, result in [*shards.items(), ("train", None)]
    ]
    assert list(fold(events, store, 0.0).nodes) == ["train"]


def test_an_easy_instances_higher_scores_make_no_better_parent(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    easy = [attempt("easy worse", 0.6, instance=1), attempt("easy better", 0.7, instance=1)]
    hard = [attempt("hard worse", 0.1, instance=2), attempt("hard best", 0.4, instance=2)]
    shard = put_json(store, ShardState(attempts=(*easy, *hard)))
    [parent] = pick(fold([ShardFinished(run_id="r", purpose="train", result=shard)], store, 0.0), 1)
    assert (parent.node, parent.score) == ("hard best", 0.4)
