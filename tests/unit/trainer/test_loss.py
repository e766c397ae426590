"""The objectives and the guards on numbers that fit on a hand."""

import math

import pytest
import torch

from shared.errors import TrainingError
from trainer_service.training.guards import (
    BadSteps,
    CarefulAdamW,
    check_adapter,
    check_divergence,
    has_diverged,
)
from trainer_service.training.loss import Terms, k3, total_loss
from trainer_service.training.values import advantages_and_returns

LN2 = math.log(2)


def terms(policy, behaviour=0.0, base=None, free=1.0, weight=1.0, correction=1.0, value=None):
    """One sample of one token."""
    values = (policy, behaviour, policy if base is None else base, free)
    return Terms(
        *(torch.tensor([[float(number)]]) for number in values),
        weight_B=torch.tensor([float(weight)]),
        correction_BK=torch.tensor([[float(correction)]]),
        value_BK=None if value is None else torch.tensor([[float(value)]]),
    )


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


# -ratio * A * log p, the ratio at most 5: 2 * 1.5 * 1 and 5 * 1.5 * 1.
@pytest.mark.parametrize(("ratio", "expected"), [(2.0, 3.0), (8.0, 7.5)])
def test_reinforce_weighs_the_log_probability_by_a_truncated_ratio(ratio, expected):
    loss = total_loss("truncated", terms(-1.0, -1.0 - math.log(ratio), weight=1.5), 0.0)
    assert float(loss) == pytest.approx(expected)


def test_reinforces_ratio_carries_no_gradient():
    policy_BK = torch.tensor([[-1.0]], requires_grad=True)
    one = torch.ones(1, 1)
    fixed_BK = torch.tensor([[-1.0 - LN2]])
    sample = Terms(policy_BK, fixed_BK, fixed_BK, one, torch.tensor([1.5]), one)
    total_loss("truncated", sample, 0.0).backward()
    assert policy_BK.grad.tolist() == [
        [pytest.approx(-3.0)]
    ]  # through a ratio of 2 it would be less by 3 more


def test_a_token_counts_as_much_as_serving_and_training_agree_on_it():
    assert float(total_loss("clipped", terms(0.0, weight=2.0, correction=0.25), 0.0)) == pytest.approx(-0.5)


def test_the_penalty_is_the_log_ratio_to_base_taken_from_the_advantage():
    # log policy - log base = ln 2, so the advantage is 1 - 0.5 ln 2.
    loss = total_loss("clipped", terms(0.0, 0.0, base=-LN2), kl_weight=0.5)
    assert float(loss) == pytest.approx(-(1 - 0.5 * LN2))


def divergence_gradients(estimate):
    """The expected gradient of a one-token loss under the policy, exactly: three tokens, each drawn and
    counted by its probability."""
    logits_V = torch.tensor([0.3, -0.2, 0.9], requires_grad=True)
    base_V = torch.tensor([0.5, 0.4, 0.1]).log()
    policy_V = logits_V.log_softmax(-1)
    fixed = policy_V.detach()
    one = torch.ones(3, 1)
    all_three = Terms(
        policy_V[:, None], fixed[:, None], base_V[:, None], one, torch.zeros(3), fixed.exp()[:, None]
    )
    (gradient,) = torch.autograd.grad(estimate(all_three), logits_V, retain_graph=True)
    exact = []
    for divergence in (policy_V.exp() * (policy_V - base_V), base_V.exp() * (base_V - policy_V)):
        exact.append(torch.autograd.grad(divergence.sum(), logits_V, retain_graph=True)[0])
    return gradient, *exact


def test_the_penalty_in_the_advantage_descends_the_divergence_of_the_policy_from_base():
    gradient, reverse, forward = divergence_gradients(lambda t: total_loss("clipped", t, kl_weight=1.0))
    assert torch.allclose(gradient, reverse, atol=1e-6)
    assert not torch.allclose(gradient, forward, atol=1e-2)


def test_k3_as_a_loss_would_descend_the_divergence_of_base_from_the_policy():
    def k3_loss(t):
        difference = t.base_BK - t.policy_BK
        return (t.correction_BK * (difference.exp() - difference - 1)).sum()

    gradient, reverse, forward = divergence_gradients(k3_loss)
    assert torch.allclose(gradient, forward, atol=1e-6)
    assert not torch.allclose(gradient, reverse, atol=1e-2)


def test_the_divergence_that_is_watched_is_schulmans_k3():
    # base / policy = 2: k3 = 2 - ln 2 - 1
    assert float(k3(terms(policy=-LN2, behaviour=-LN2, base=0.0))) == pytest.approx(1 - LN2)


def test_a_token_that_the_policy_has_given_up_is_watched_by_its_ratio():
    # Sampled and base 1/2 each, policy e^-20: its mass is elsewhere, and this token adds 1 at most.
    assert float(k3(terms(policy=-20.0, behaviour=-LN2, base=-LN2))) == pytest.approx(1.0, abs=1e-4)


def test_the_watched_divergence_is_right_on_average_over_tokens_of_an_older_policy():
    def watched(t):
        return (t.correction_BK * k3(t)).sum()

    policy_V, base_V, older_V = (
        torch.tensor(v).log() for v in ([0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6])
    )
    drawn = Terms(
        *(x[:, None] for x in (policy_V, older_V, base_V)),
        torch.ones(3, 1),
        torch.zeros(3),
        older_V.exp()[:, None],
    )
    exact = float((policy_V.exp() * (policy_V - base_V)).sum())
    assert float(watched(drawn)) == pytest.approx(exact, rel=1e-5)


def test_a_policy_has_diverged_where_the_sampled_tokens_have_lost_much_on_the_whole():
    near, far = {"drift": -0.5, "kl": 1e4}, {"drift": -3.0, "kl": 1.0}
    assert not has_diverged("clipped", [near], bound=10.0)
    assert has_diverged("clipped", [near, far], bound=10.0)  # e^3 - 3 - 1 = 16.1
    assert not has_diverged("cloning", [far], bound=10.0)
    assert not has_diverged("clipped", [], bound=10.0)


def test_advantages_of_three_tokens_by_hand():
    # The reward 1 comes with the last free token; the forced one in the middle is passed over. lambda = 0.95.
    # delta_2 = 1 - 0.25 = 0.75;  delta_0 = 0.25 - 0.5 = -0.25;  A_0 = -0.25 + 0.95 * 0.75 = 0.4625.
    advantage, returns = advantages_and_returns(
        torch.tensor([1.0]),
        torch.zeros(1, 4),
        torch.tensor([[0.5, 9.0, 0.25, 9.0]]),
        torch.tensor([[1.0, 0.0, 1.0, 0.0]]),
    )
    assert advantage[0, [0, 2]].tolist() == pytest.approx([0.4625, 0.75])
    assert returns[0, [0, 2]].tolist() == pytest.approx([1.0, 1.0])


def test_the_penalty_on_a_token_is_a_reward_of_that_token():
    # Rewards -0.2 and -0.1 + 1; values 0: A_1 = 0.9, A_0 = -0.2 + 0.95 * 0.9 = 0.655; returns 0.7 and 0.9.
    advantage, returns = advantages_and_returns(
        torch.tensor([1.0]), torch.tensor([[-0.2, -0.1]]), torch.zeros(1, 2), torch.ones(1, 2)
    )
    assert advantage[0].tolist() == pytest.approx([0.655, 0.9])
    assert returns[0].tolist() == pytest.approx([0.7, 0.9])


def test_the_reward_of_a_long_answer_reaches_its_first_token():
    # 400 tokens: lambda = 1 - 1 / 20 = 0.95 still; 4000: 1 - 1 / 200 = 0.995, and 0.995^3999 = 2e-9; a head
    # that expects the reward from the middle on passes it back from there.
    value_BK = torch.zeros(1, 4000)
    value_BK[0, 2000:] = 1.0
    advantage, _ = advantages_and_returns(
        torch.tensor([1.0]), torch.zeros(1, 4000), value_BK, torch.ones(1, 4000)
    )
    assert float(advantage[0, 1999]) == pytest.approx(1.0)
    assert float(advantage[0, 1899]) == pytest.approx(0.995**100, rel=1e-3)


def test_ppo_adds_half_the_value_heads_squared_error():
    # A = R - V = 1 - 0.4, ratio 1: -0.6 + 0.5 * 0.6^2.
    assert float(total_loss("proximal", terms(0.0, value=0.4), 0.0)) == pytest.approx(-0.6 + 0.18)


def test_dpo_of_one_pair_by_hand():
    # Margins 1 and -1 over two tokens each: -log sigmoid(0.1 * 2) = 0.59814.
    policy_BK = torch.tensor([[-1.0, -1.0], [-3.0, -2.0]])
    reference_BK = torch.tensor([[-1.5, -1.5], [-2.0, -2.0]])
    ones = torch.ones(2, 2)
    pair = Terms(policy_BK, reference_BK, reference_BK, ones, torch.tensor([1.0, -1.0]), ones)
    assert float(total_loss("preference", pair, 0.0)) == pytest.approx(0.598139, abs=1e-6)


@pytest.mark.parametrize("loss", ["cloning", "truncated", "clipped", "proximal"])
def test_forced_tokens_add_nothing(loss):
    assert float(total_loss(loss, terms(-3.0, -1.0, base=0.0, free=0.0, value=1.0), 1.0)) == 0.0


def test_the_policy_gradient_pulls_up_what_has_advantage():
    policy_BK = torch.tensor([[-1.0], [-1.0]], requires_grad=True)
    fixed_BK, ones = policy_BK.detach(), torch.ones(2, 1)
    both = Terms(policy_BK, fixed_BK, fixed_BK, ones, torch.tensor([3.0, -1.0]), ones)
    total_loss("clipped", both, 0.1).backward()
    assert policy_BK.grad.tolist() == [[-3.0], [1.0]]


@pytest.mark.parametrize("kl", [11.0, math.nan, math.inf])
def test_a_policy_that_has_gone_far_from_the_base_is_refused(kl):
    check_divergence(9.9, bound=10.0)
    with pytest.raises(TrainingError, match="the policy diverged"):
        check_divergence(kl, bound=10.0)


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
