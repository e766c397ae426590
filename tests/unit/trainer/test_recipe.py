"""Steps, batch and learning rate follow the samples and the model; micro-batches follow tokens."""

import json

import pytest

from shared.errors import ArtifactError
from trainer_service.algorithms import find
from trainer_service.recipe import rate_for, read_size, recipe
from trainer_service.training.checkpoints import is_due
from trainer_service.training.lessons import pack


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


def test_what_is_set_stands():
    made = recipe(find("entropic"), 500, hidden=576, steps=7, batch=10, learning_rate=0.5)
    assert (made.steps, made.batch, made.learning_rate) == (7, 10, 0.5)


def test_size_is_read_from_the_config_also_where_it_lies_deeper_or_is_called_otherwise(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"text_config": {"hidden_size": 64, "max_position_embeddings": 512}}))
    assert (read_size(tmp_path).hidden, read_size(tmp_path).context) == (64, 512)
    config.write_text(json.dumps({"n_embd": 32, "n_positions": 128, "vocab_size": 10}))
    assert (read_size(tmp_path).hidden, read_size(tmp_path).context) == (32, 128)
    config.write_text("{}")
    with pytest.raises(ArtifactError, match="names no hidden_size"):
        read_size(tmp_path)


def test_micro_batches_hold_like_lengths_and_never_more_than_the_tokens_allow():
    lengths = [7, 100, 3, 8, 4, 90, 5]
    parts = pack([(n,) for n in lengths], lambda n: n, most_tokens=16)
    assert [[n for (n,) in part] for part in parts] == [[3, 4, 5], [7, 8], [90], [100]]


def test_pairs_stay_together():
    pairs = [(3, 9), (2, 2), (8, 1)]
    assert pack(pairs, lambda n: n, most_tokens=36) == [[(2, 2), (8, 1)], [(3, 9)]]


def test_a_short_training_is_saved_after_every_step_and_a_long_one_in_sixteen_parts():
    assert [step for step in range(1, 7) if is_due(step, 6)] == [1, 2, 3, 4, 5, 6]
    assert [step for step in range(1, 101) if is_due(step, 100)] == [*range(6, 101, 6), 100]
