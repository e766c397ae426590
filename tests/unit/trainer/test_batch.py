"""From stored attempts to training samples: who earns what, and what is left out."""

import pytest

from shared.errors import TrainingError
from shared.messages.records import (
    AttemptPlan,
    AttemptState,
    Candidate,
    Evaluation,
    Parent,
    Release,
    Sample,
    ShardState,
    Turn,
)
from shared.store.store import LocalStore, put_json
from trainer_service.batch import read_samples, samples_of, teaching, within_limit

RELEASE = Release(base="b" * 64, harness="h" * 64)


def reply(token, text="x", **more):
    return Sample(text=text, prompt_ids=(1, 2), token_ids=(token, 9), free=(True, False), **more)


def attempt(turns, instance=None, final=None, error="", parent=None, answer=None):
    plan = AttemptPlan(
        attempt_id="a", instance=instance or {"id": 1}, arm="train", release=RELEASE, seed=0, parent=parent
    )
    score = Evaluation(outcome="ok", score=final) if final is not None else None
    return AttemptState(plan=plan, turns=tuple(turns), final=score, error=error, answer=answer)


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


def test_a_group_is_what_started_from_one_instance_and_one_parent():
    asked = Turn(action={"ask": []}, replies=(reply(5),))
    starts = [(32, None), (32, None), (64, None), (32, "p"), (32, "q")]
    samples = [
        samples_of(attempt([asked], {"N": n}, 1.0, parent=node and parent(node)))[0] for n, node in starts
    ]
    assert samples[0].group == samples[1].group
    assert len({sample.group for sample in samples}) == 4
    assert [sample.baseline for sample in samples] == [None, None, None, 0.9, 0.9]


def parent(node="p"):
    return Parent(content="the parent's program", reply="the parent's reply", score=0.9, node=node)


def test_a_copy_of_the_parent_teaches_nothing_however_well_it_scores():
    copied = Turn(action={"ask": []}, replies=(reply(5, text=" the parent's reply\n"), reply(6, text="new")))
    assert [s.token_ids[0] for s in samples_of(attempt([copied], final=0.9, parent=parent()))] == [6]
    assert len(samples_of(attempt([copied], final=0.9))) == 2  # nothing was copied where there was no parent


def test_another_wording_of_the_parents_candidate_is_a_copy_too():
    asked = Turn(action={"ask": []}, replies=(reply(5), reply(6)))
    same, other = (
        {"content": text, "samples": [index]}
        for index, text in enumerate(["the parent's program ", "better"])
    )
    results = tuple(Evaluation(outcome="ok", score=score) for score in (0.9, 0.95))
    both = attempt([asked, Turn(action={"try": [same, other]}, results=results)], parent=parent())
    assert [s.token_ids[0] for s in samples_of(both)] == [6]
    answered = attempt([asked], final=0.9, parent=parent(), answer=Candidate.model_validate(same))
    assert [s.token_ids[0] for s in samples_of(answered)] == [6]


def test_samples_hold_the_temperature_they_were_drawn_at_and_the_engine_s_logprobs():
    asked = {"ask": [{"n": 2, "temperature": 0.5}, {"n": 1, "temperature": 0.0}]}
    turn = Turn(action=asked, replies=(reply(5, logprobs=(-1.0, -2.0)), reply(6), reply(7)))
    samples = samples_of(attempt([turn], final=1.0))
    assert [sample.temperature for sample in samples] == [0.5, 0.5, 1.0]
    assert [sample.served for sample in samples] == [(-1.0, -2.0), (), ()]


@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_is_refused(reward):
    first, second = samples_of(attempt([Turn(action={"ask": []}, replies=(reply(5), reply(6)))], final=1.0))
    with pytest.raises(TrainingError, match="1 of 2 rewards are NaN or infinite"):
        teaching([first, second.model_copy(update={"reward": reward})], "grpo")


def test_samples_over_the_limit_are_left_out_and_where_all_are_it_is_a_message():
    long = Sample(text="x", prompt_ids=(1,) * 9, token_ids=(2,))
    samples = samples_of(attempt([Turn(action={"ask": []}, replies=(reply(5), long))], final=1.0))
    assert within_limit(samples, 4) == (samples[:1], 1)
    with pytest.raises(TrainingError, match="all 2 samples are longer than 3 tokens"):
        within_limit(samples, 3)


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
