"""From stored attempts to training samples: who earns what, and what is left out."""

import pytest

from shared.errors import TrainingError
from shared.messages.records import AttemptPlan, AttemptState, Evaluation, Release, Sample, ShardState, Turn
from shared.store.store import LocalStore, put_json
from trainer_service.batch import read_samples, samples_of

RELEASE = Release(base="b" * 64, harness="h" * 64)


def reply(token, **more):
    return Sample(text="x", prompt_ids=(1, 2), token_ids=(token, 9), free=(True, False), **more)


def attempt(turns, instance=None, final=None, error=""):
    plan = AttemptPlan(attempt_id="a", instance=instance or {"id": 1}, arm="train", release=RELEASE, seed=0)
    score = Evaluation(outcome="ok", score=final) if final is not None else None
    return AttemptState(plan=plan, turns=tuple(turns), final=score, error=error)


def tried(*pairs):
    """A turn that tries candidates: (score, indices of its replies)."""
    action = {"try": [{"content": "c", "samples": list(samples)} for _, samples in pairs]}
    return Turn(action=action, results=tuple(Evaluation(outcome="ok", score=score) for score, _ in pairs))


def test_a_tried_reply_earns_its_best_candidate_and_the_others_earn_the_final_score():
    asked = Turn(action={"ask": []}, replies=(reply(5), reply(6), reply(7)))
    samples = samples_of(attempt([asked, tried((0.25, [0]), (0.75, [0, 1]), (0.5, [1]))], final=0.875))

    assert [sample.reward for sample in samples] == [0.75, 0.75, 0.875]
    assert [sample.token_ids[0] for sample in samples] == [5, 6, 7]
    assert samples[0].free == (True, False)


def test_replies_are_counted_over_all_turns_of_an_attempt():
    first, second = (Turn(action={"ask": []}, replies=(reply(n),)) for n in (5, 6))
    samples = samples_of(attempt([first, tried((0.1, [0])), second, tried((0.9, [1]))]))

    assert [sample.reward for sample in samples] == [0.1, 0.9]


def test_an_attempt_that_broke_off_teaches_by_its_tried_candidates_only():
    asked = Turn(action={"ask": []}, replies=(reply(5), reply(6)))
    samples = samples_of(attempt([asked, tried((0.25, [0]))], final=0.0, error="the box is broken"))

    assert [(sample.token_ids[0], sample.reward) for sample in samples] == [(5, 0.25)]


def test_groups_are_instances():
    asked = Turn(action={"ask": []}, replies=(reply(5),))
    one, same, other = (samples_of(attempt([asked], instance={"N": n}, final=1.0))[0] for n in (32, 32, 64))

    assert one.group == same.group != other.group


def test_replies_without_token_ids_or_without_a_free_token_are_skipped():
    closed = Sample(text="x")
    forced = Sample(text="x", prompt_ids=(1,), token_ids=(2,), free=(False,))
    asked = Turn(action={"ask": []}, replies=(closed, forced, reply(7)))

    assert [sample.token_ids[0] for sample in samples_of(attempt([asked], final=1.0))] == [7]


def test_a_candidate_that_could_not_be_timed_earns_nothing_rather_than_zero():
    asked = Turn(action={"ask": []}, replies=(reply(5),))
    untimed = Turn(
        action={"try": [{"content": "c", "samples": [0]}]},
        results=(Evaluation(outcome="not_timed", score=0.0),),
    )
    assert samples_of(attempt([asked, untimed])) == []


def test_nothing_to_learn_from_is_a_training_error(tmp_path):
    store = LocalStore(tmp_path)
    closed = attempt([Turn(action={"ask": []}, replies=(Sample(text="x"),))], final=1.0)
    digest = put_json(store, ShardState(attempts=(closed,)))

    with pytest.raises(TrainingError, match="no sample"):
        read_samples(store, [digest])
