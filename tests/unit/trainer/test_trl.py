"""The same losses as TRL's, on the same log-probabilities. Runs where TRL is installed."""

import pytest
import torch

from trainer_service.algorithms.algorithm import Graded
from trainer_service.algorithms.reinforce import weigh
from trainer_service.training.loss import CLIP_HIGH, CLIP_LOW, Terms, total_loss

trl = pytest.importorskip("trl", reason="TRL is not installed: pip install trl")
datasets = pytest.importorskip("datasets")

from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from tests.parts.spelling import write_base  # noqa: E402

ROWS, TOKENS = 4, 6


class GivenLogprobs:
    """TRL's loss on log-probabilities that the test gives."""

    def _get_per_token_logps_and_entropies(self, *_, **__):
        return self.policy_BK, torch.zeros_like(self.policy_BK), None


class GivenToGrpo(GivenLogprobs, trl.GRPOTrainer):
    pass


class GivenToRloo(GivenLogprobs, trl.RLOOTrainer):
    pass


def trls_loss(folder, trainer_of, config_of, policy_BK, mask_BK, advantage_B, behaviour, **settings):
    base = write_base(folder / "base")
    config = config_of(
        output_dir=str(folder / "out"),
        beta=0.0,
        max_completion_length=TOKENS,
        num_generations=2,
        per_device_train_batch_size=2,
        use_cpu=True,
        bf16=False,
        report_to=[],
        **settings,
    )
    trainer = trainer_of(
        model=AutoModelForCausalLM.from_pretrained(base),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=datasets.Dataset.from_list([{"prompt": "red"}]),
        processing_class=AutoTokenizer.from_pretrained(base),
    )
    trainer.model.eval()
    trainer.policy_BK = policy_BK
    ids = torch.ones(ROWS, TOKENS, dtype=torch.long)
    inputs = {
        "prompt_ids": ids,
        "prompt_mask": ids,
        "completion_ids": ids,
        "completion_mask": mask_BK,
        "advantages": advantage_B,
        "num_items_in_batch": mask_BK.sum(),
        **behaviour,
    }
    return trainer._compute_loss(trainer.model, inputs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "loss_type", "settings"),
    [
        ("clipped", "dr_grpo", {"epsilon": CLIP_LOW, "epsilon_high": CLIP_HIGH}),
        ("truncated", "cispo", {"epsilon_high": 1 + CLIP_HIGH}),
    ],
)
def test_loss_and_gradient_are_trls(tmp_path, loss, loss_type, settings):
    torch.manual_seed(0)
    policy_BK = (-2 * torch.rand(ROWS, TOKENS)).requires_grad_()
    behaviour_BK = -4 * torch.rand(ROWS, TOKENS)  # ratios from e^-2 to e^4: both clips are reached
    mask_BK = (torch.rand(ROWS, TOKENS) > 0.3).float()
    advantage_B = torch.tensor([1.0, -0.5, 2.0, -1.5])
    theirs = trls_loss(
        tmp_path,
        GivenToGrpo,
        trl.GRPOConfig,
        policy_BK,
        mask_BK,
        advantage_B,
        {"old_per_token_logps": behaviour_BK},
        loss_type=loss_type,
        **settings,
    )
    (their_gradient,) = torch.autograd.grad(theirs, policy_BK)

    terms = Terms(policy_BK, behaviour_BK, behaviour_BK, mask_BK, advantage_B, torch.ones(ROWS, TOKENS))
    divisor = ROWS * TOKENS if loss_type == "dr_grpo" else float(mask_BK.sum())
    ours = total_loss(loss, terms, 0.0) / divisor
    (our_gradient,) = torch.autograd.grad(ours, policy_BK)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)
    assert torch.allclose(our_gradient, their_gradient, atol=1e-6)


@pytest.mark.slow
def test_reinforce_moves_a_policy_that_sampled_itself_as_trls_rloo_does(tmp_path):
    torch.manual_seed(0)
    policy_BK = (-2 * torch.rand(ROWS, TOKENS)).requires_grad_()
    mask_BK = (torch.rand(ROWS, TOKENS) > 0.3).float()
    rewards = (1.0, 0.25, 0.5, 0.0)  # two groups of two; a reward minus the other one's
    advantage_B = torch.tensor(weigh(Graded(rewards, ("a", "a", "b", "b"))))
    assert advantage_B.tolist() == [0.75, -0.75, 0.5, -0.5]
    old_B = (policy_BK.detach() * mask_BK).sum(1)
    behaviour = {"old_logps": old_B}
    theirs = trls_loss(tmp_path, GivenToRloo, trl.RLOOConfig, policy_BK, mask_BK, advantage_B, behaviour)
    (their_gradient,) = torch.autograd.grad(theirs, policy_BK)

    fixed_BK = policy_BK.detach()
    terms = Terms(policy_BK, fixed_BK, fixed_BK, mask_BK, advantage_B, torch.ones(ROWS, TOKENS))
    (our_gradient,) = torch.autograd.grad(total_loss("truncated", terms, 0.0) / ROWS, policy_BK)
    assert torch.allclose(our_gradient, their_gradient, atol=1e-6)
