"""Steps, batch and learning rate follow the samples and the model; micro-batches follow tokens."""

import collections
import json

import pytest
import torch

from shared.errors import ArtifactError
from trainer_service.algorithms import find
from trainer_service.recipe import is_learned, rate_for, read_size, recipe
from trainer_service.specs import TrainingSample
from trainer_service.training.checkpoints import is_due
from trainer_service.training.lessons import Lesson, pack, step_batches


def test_the_learning_rate_falls_with_the_models_size():
    # 5e-4 * (2000 / hidden)^0.78, at most 0.01
    assert rate_for(2000) == pytest.approx(5e-4)
    assert rate_for(576) == pytest.approx(5e-4 * 3.4722**0.78, rel=1e-3)
    assert rate_for(8) == 1e-2


@pytest.mark.parametrize(
    ("samples", "batch", "steps"),
    [
        (3075, 64, 49),  # one pass of 48.05 batches
        (192, 16, 48),  # four passes of twelve
        (96, 8, 48),
        (20, 8, 10),  # four passes, no more: few samples are soon known by heart
        (3, 3, 4),
    ],
)
def test_few_samples_are_passed_over_again_and_many_once(samples, batch, steps):
    made = recipe(find("supervised"), samples, hidden=576)
    assert (made.batch, made.steps) == (batch, steps)


def test_an_answer_in_two_prompts_is_learned_in_as_many_steps_as_in_one():
    one, two = (recipe(find("supervised"), 151, hidden=576, prompts=prompts) for prompts in (1, 2))
    assert (one.steps, one.batch, one.one_pass) == (51, 12, 13)
    assert (two.steps, two.batch, two.one_pass) == (51, 12, 26)  # a pass sees both prompts of each


def test_what_is_set_stands():
    made = recipe(find("entropic"), 500, hidden=576, steps=7, batch=10, learning_rate=0.5)
    assert (made.steps, made.batch, made.learning_rate) == (7, 10, 0.5)


def losses(*values):
    return [{"loss": value} for value in values]


def test_demonstrations_are_learned_where_a_whole_pass_was_as_good_as_certain():
    made = recipe(find("supervised"), 96, hidden=576)
    assert is_learned(made, losses(2.0, *12 * [0.009]))
    assert not is_learned(made, losses(*11 * [0.009]))  # not all were seen yet
    assert not is_learned(made, losses(*11 * [0.009], 0.1))  # one batch still teaches
    asked = recipe(find("supervised"), 96, hidden=576, steps=48)
    assert not is_learned(asked, losses(*48 * [0.0]))  # steps that are asked for are taken
    assert not is_learned(recipe(find("grpo"), 96, hidden=576), losses(*48 * [0.0]))  # it tells nothing there


def test_size_is_read_from_the_config_also_where_it_lies_deeper_or_is_called_otherwise(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"text_config": {"hidden_size": 64, "max_position_embeddings": 512}}))
    assert (read_size(tmp_path).hidden, read_size(tmp_path).context) == (64, 512)
    config.write_text(json.dumps({"n_embd": 32, "n_positions": 128, "vocab_size": 10}))
    assert (read_size(tmp_path).hidden, read_size(tmp_path).context) == (32, 128)
    config.write_text("{}")
    with pytest.raises(ArtifactError, match="names no hidden_size"):
        read_size(tmp_path)


def sample(prompt, answer, name=0):
    """`name` makes prompts of one length differ."""
    ids = {"prompt_ids": (name,) * prompt, "token_ids": (1,) * answer, "free": (True,) * answer}
    return TrainingSample(reward=0.0, group="", **ids)


def lengths(parts):
    return [[one.length for unit in part for one in unit] for part in parts]


def test_micro_batches_hold_like_lengths_and_never_more_than_the_tokens_allow():
    units = [(sample(n - 1, 1),) for n in (7, 100, 3, 8, 4, 90, 5)]
    parts = pack(units, lambda one: one, most_tokens=16, shared=False)
    assert lengths(parts) == [[3, 4, 5], [7, 8], [90], [100]]


def test_pairs_stay_together():
    pairs = [tuple(sample(n - 1, 1) for n in pair) for pair in ((3, 9), (2, 2), (8, 1))]
    assert lengths(pack(pairs, lambda one: one, most_tokens=36, shared=False)) == [[2, 2, 8, 1], [3, 9]]


def test_a_shared_prompt_counts_once_where_rows_are_packed():
    units = [(sample(10, 2, name),) for name in (0, 1, 0, 1, 0)]
    assert lengths(pack(units, lambda one: one, most_tokens=16)) == [[12] * 3, [12] * 2]
    assert lengths(pack(units, lambda one: one, most_tokens=24, shared=False)) == [[12] * 2, [12] * 2, [12]]


def test_one_long_sample_is_not_packed_with_many_short_ones():
    units = [(sample(9, 1, name),) for name in range(20)] + [(sample(180, 20),)]
    assert lengths(pack(units, lambda one: one, most_tokens=400)) == [[10] * 20, [200]]


def test_samples_of_one_prompt_share_a_step_but_fill_a_quarter_of_it_at_most():
    units = [
        (Lesson(sample(3, 1, name), 1.0, *3 * (torch.zeros(1),)),) for name in range(8) for _ in range(8)
    ]
    steps = list(step_batches(units, batch=16, steps=4, seed=0))
    for step in steps:
        names = collections.Counter(unit[0].sample.prompt_ids[0] for unit in step)
        assert all(count % 4 == 0 for count in names.values())
        assert len(names) > 2  # with clumps of all eight it would be two
    assert len({id(unit) for step in steps for unit in step}) == 64


@pytest.mark.slow
def test_a_short_training_is_saved_after_every_step_and_a_long_one_in_sixteen_parts():
    assert [step for step in range(1, 7) if is_due(step, 6)] == [1, 2, 3, 4, 5, 6]
    assert [step for step in range(1, 101) if is_due(step, 100)] == [*range(6, 101, 6), 100]
