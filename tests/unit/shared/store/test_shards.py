"""A shard's state in the store: what is read is what was written, each event writes what it added, and the
whole states of older runs read alike.
"""

from itertools import pairwise
from pathlib import Path

import pytest

from shared.errors import ArtifactError, DecodeError
from shared.messages.records import (
    AttemptPlan,
    Candidate,
    Cost,
    Evaluation,
    Release,
    Sample,
    ShardPlan,
    ShardState,
    Turn,
)
from shared.store.shards import begun, get_shard, put_shard
from shared.store.store import LocalStore, put_json

PLAN = ShardPlan(
    attempts=tuple(
        AttemptPlan(
            attempt_id=name, instance={"x": 1}, arm="base", release=Release(base="b", harness="h"), seed=1
        )
        for name in ("one", "two")
    ),
    null_arms={"both": "not served"},
)
REPLY = Sample(text="a reply of some length " * 20, token_ids=tuple(range(100)), logprobs=(-0.5,) * 100)
WRONG, RIGHT = Evaluation(outcome="wrong", score=0.0), Evaluation(outcome="ok", score=1.0)


def asked(state: ShardState, turn: int, cost: int) -> ShardState:
    """Each attempt has one more reply, and tries what it says."""
    tries = {"try": [{"content": f"candidate {turn}", "samples": [turn]}]}
    more = (Turn(action={"ask": f"turn {turn}"}, replies=(REPLY,)), Turn(action=tries))
    attempts = tuple(one.model_copy(update={"turns": one.turns + more}) for one in state.attempts)
    return state.model_copy(update={"attempts": attempts, "cost": Cost(prompt_tokens=cost)})


def scored(state: ShardState, result: Evaluation) -> ShardState:
    def with_results(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        return (*turns[:-1], turns[-1].model_copy(update={"results": (result,)}))

    attempts = [one.model_copy(update={"turns": with_results(one.turns)}) for one in state.attempts]
    return state.model_copy(update={"attempts": tuple(attempts)})


def ended(state: ShardState) -> ShardState:
    first, second = state.attempts
    answered = first.model_copy(update={"answer": Candidate(content="42"), "final": RIGHT})
    failed = second.model_copy(update={"error": "the scaffold raised", "final": WRONG})
    return state.model_copy(update={"attempts": (answered, failed), "reload": {"harness_ms": 3.0}})


def course(turns: int) -> list[ShardState]:
    """All states of a shard that has so many turns."""
    states = [begun(PLAN)]
    for turn in range(turns):
        states.append(asked(scored(states[-1], WRONG) if turn else states[-1], turn, 10 * turn))
    return [*states, ended(states[-1])]


def stored(store: LocalStore, states: list[ShardState]) -> list[str]:
    digests = [put_json(store, PLAN)]
    for earlier, state in pairwise(states):
        digests.append(put_shard(store, digests[-1], earlier, state))
    return digests


def test_every_state_reads_as_it_was_written(tmp_path: Path) -> None:
    store, states = LocalStore(tmp_path), course(turns=4)

    assert [get_shard(store, digest) for digest in stored(store, states)] == states


def test_an_event_writes_what_it_added_however_much_came_before(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    sizes = [len(store.get(digest)) for digest in stored(store, course(turns=12))[2:-1]]

    assert max(sizes) < 1.02 * min(sizes)  # the digits of a number
    assert max(sizes) < 1.5 * len(PLAN.attempts) * len(REPLY.model_dump_json())


def test_an_answer_that_was_tried_before_is_not_written_again(tmp_path: Path) -> None:
    store, state = LocalStore(tmp_path), course(turns=2)[2]
    (first, second), content = state.attempts, "x" * 10_000
    tried = Turn(action={"try": [{"content": content, "samples": [0]}]})
    before = state.model_copy(update={"attempts": (first.model_copy(update={"turns": (tried,)}), second)})
    answer = {"answer": Candidate(content=content, samples=(0,))}
    after = state.model_copy(update={"attempts": (before.attempts[0].model_copy(update=answer), second)})

    digest = put_shard(store, put_json(store, before), before, after)

    assert get_shard(store, digest) == after
    assert len(store.get(digest)) < 1_000


def test_a_whole_state_of_an_older_run_is_read_and_continued(tmp_path: Path) -> None:
    store, states = LocalStore(tmp_path), course(turns=2)
    old = put_json(store, states[2])

    assert get_shard(store, old) == states[2]
    assert get_shard(store, put_shard(store, old, states[2], states[3])) == states[3]


def test_a_state_that_is_no_addition_to_the_one_before_is_written_whole(tmp_path: Path) -> None:
    store, states = LocalStore(tmp_path), course(turns=2)
    (first, *others), cut = states[2].attempts, states[2]
    without_error = first.model_copy(update={"turns": first.turns[:1], "error": ""})
    before = cut.model_copy(update={"attempts": (first.model_copy(update={"error": "x"}), *others)})
    after = cut.model_copy(update={"attempts": (without_error, *others)})

    assert get_shard(store, put_shard(store, put_json(store, before), before, after)) == after


def test_what_is_no_state_and_what_is_missing_are_errors(tmp_path: Path) -> None:
    store, states = LocalStore(tmp_path), course(turns=1)

    with pytest.raises(DecodeError, match="no state of a shard"):
        get_shard(store, put_json(store, {"files": {}}))
    with pytest.raises(ArtifactError, match="not in the store"):
        get_shard(store, put_shard(store, "0" * 64, states[0], states[1]))
