"""The gap between the serving engine's log-probabilities and the trainer's: measured, corrected, bounded."""

import math

import pytest
import torch

from shared.errors import TrainingError
from trainer_service.specs import TrainingSample
from trainer_service.training.serving import Gap, check, corrections, difference, measure

LN2 = math.log(2)


def sample(served, free=None, temperature=1.0):
    count = len(served) or 2
    return TrainingSample(
        prompt_ids=(1,),
        token_ids=(2,) * count,
        free=free or (True,) * count,
        reward=1.0,
        group="g",
        served=served,
        temperature=temperature,
    )


def gap_of(one, plain, tempered=None):
    plain = torch.tensor(plain)
    return difference(one, plain, plain if tempered is None else torch.tensor(tempered))


def test_a_token_counts_by_how_likely_it_is_to_the_trainer_against_the_engine():
    # p / q = 1/2, 1, 2, 3 (truncated to 2), 10 and 1/10 (masked).
    ratios = [0.5, 1.0, 2.0, 3.0, 10.0, 0.1]
    log_ratio = torch.tensor(ratios).log()
    (correction,) = corrections([log_ratio], [6])
    assert correction.tolist() == pytest.approx([0.5, 1.0, 2.0, 2.0, 0.0, 0.0], rel=1e-6)


def test_where_the_engine_told_nothing_every_token_counts_fully_and_no_gap_is_claimed():
    assert gap_of(sample(()), [-1.0, -2.0]) is None
    assert corrections([None], [2])[0].tolist() == [1.0, 1.0]
    assert measure([None], [sample(())]).tokens == 0


def test_the_gap_is_measured_on_free_tokens_only():
    one = sample((-1.0, -5.0, -2.0), free=(True, False, True))
    gap = measure([gap_of(one, [-1.25, -1.0, -2.0 + LN2])], [one])
    assert gap.tokens == 2
    assert gap.mean == pytest.approx((0.25 + LN2) / 2)
    assert gap.largest == pytest.approx(LN2)
    assert (gap.truncated, gap.masked) == (0.0, 0.0)


def test_an_engine_that_tells_log_probabilities_at_the_temperature_is_understood():
    one = sample((-0.5, -0.7), temperature=0.5)
    assert gap_of(one, [-1.0, -1.2], tempered=[-0.5, -0.7]).tolist() == [0.0, 0.0]
    raw = sample((-1.0, -1.2), temperature=0.5)
    assert gap_of(raw, [-1.0, -1.2], tempered=[-0.5, -0.7]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("mean", [0.3, math.nan, math.inf])
def test_samples_of_another_policy_are_refused(mean):
    check(Gap(tokens=9, mean=0.2), bound=0.25)
    with pytest.raises(TrainingError, match="serving engine"):
        check(Gap(tokens=9, mean=mean), bound=0.25)
