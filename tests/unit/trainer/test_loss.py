"""The objectives and the guards on numbers that fit on a hand."""

import math

import pytest
import torch

from shared.errors import TrainingError
from trainer_service.training.guards import BadSteps, CarefulAdamW, check_adapter
from trainer_service.training.loss import Terms, total_loss

LN2 = math.log(2)


def terms(policy, behaviour=0.0, base=None, free=1.0, weight=1.0):
    """One sample of one token."""
    values = (policy, behaviour, policy if base is None else base, free)
    return Terms(*(torch.tensor([[float(value)]]) for value in values), torch.tensor([float(weight)]))


def test_cloning_is_weighted_cross_entropy():
    assert float(total_loss("cloning", terms(policy=-2.0, weight=1.5), 0.0)) == pytest.approx(3.0)


def test_the_clipped_objective_is_the_ratio_times_the_advantage():
    assert float(total_loss("clipped", terms(0.1, 0.0, weight=2.0), 0.0)) == pytest.approx(-2 * math.exp(0.1))


# Ratios are clipped to 0.8 ... 5: where that would reward a further move, and never where a move has hurt.
@pytest.mark.parametrize(
    ("ratio", "weight", "expected"), [(8.0, 1.0, -5.0), (8.0, -1.0, 8.0), (0.5, -1.0, 0.8), (0.5, 1.0, -0.5)]
)
def test_ratios_are_clipped_where_they_have_moved_far_enough(ratio, weight, expected):
    loss = total_loss("clipped", terms(math.log(ratio), 0.0, weight=weight), 0.0)
    assert float(loss) == pytest.approx(expected)


def test_kl_to_base_is_schulmans_k3():
    # base / policy = 2: k3 = 2 - ln 2 - 1
    loss = total_loss("cloning", terms(policy=-LN2, base=0.0, weight=0.0), kl_weight=0.5)
    assert float(loss) == pytest.approx(0.5 * (1 - LN2))


def test_forced_tokens_add_nothing():
    assert float(total_loss("clipped", terms(-3.0, -1.0, base=0.0, free=0.0), 1.0)) == 0.0


def test_the_policy_gradient_pulls_up_what_has_advantage():
    policy_BK = torch.tensor([[-1.0], [-1.0]], requires_grad=True)
    fixed_BK = policy_BK.detach()
    both = Terms(policy_BK, fixed_BK, fixed_BK, torch.ones(2, 1), torch.tensor([3.0, -1.0]))
    total_loss("clipped", both, 0.1).backward()
    assert policy_BK.grad.tolist() == [[-3.0], [1.0]]


def test_a_step_with_nan_gradients_changes_neither_weights_nor_moments():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = CarefulAdamW([weight], lr=0.1)
    weight.grad = torch.tensor([1.0, math.nan])
    optimizer.step()
    assert optimizer.refused
    assert weight.tolist() == [1.0, 1.0]
    assert not optimizer.state[weight]

    weight.grad = torch.ones(2)
    optimizer.step()
    assert not optimizer.refused
    assert weight.tolist() != [1.0, 1.0]


def test_three_bad_steps_end_the_training():
    bad = BadSteps()
    bad.note(0, 1.0, applied=True)
    bad.note(1, math.nan, applied=False)
    bad.note(2, 1.0, applied=False)
    with pytest.raises(TrainingError, match="3 steps gave no finite gradient"):
        bad.note(3, math.inf, applied=True)


def adapter(b):
    prefix = "base_model.model.layer.lora_"
    return {prefix + "A.weight": torch.ones(1, 2), prefix + "B.weight": torch.full((2, 1), b)}


BASE = {"layer.weight": torch.ones(2, 2)}


def test_an_adapters_norm_is_relative_to_the_weight_that_it_changes():
    # B A is 0.5 everywhere, twice that is 1: as large as the weight.
    assert check_adapter(adapter(0.5), BASE, scale=2.0) == pytest.approx(1.0)


@pytest.mark.parametrize(("b", "reason"), [(math.nan, "NaN"), (0.0, "is zero"), (100.0, "explodes")])
def test_broken_empty_and_absurd_adapters_are_refused(b, reason):
    with pytest.raises(TrainingError, match=reason):
        check_adapter(adapter(b), BASE, scale=2.0)
