"""Supervised and preference losses, from tokens to gradient, are TRL's. Runs where TRL is installed."""

import pytest
import torch

from trainer_service.specs import TrainingSample
from trainer_service.training.loss import DPO_BETA, Terms, total_loss
from trainer_service.training.reading.attention import allow_packing, is_packed
from trainer_service.training.reading.layout import lay_out
from trainer_service.training.reading.read import read

trl = pytest.importorskip("trl", reason="TRL is not installed: pip install trl")
datasets = pytest.importorskip("datasets")

from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from tests.parts.spelling import write_base  # noqa: E402

PROMPTS = ([2, 3], [2, 4, 5])
CHOSEN = ([7, 8, 9, 1], [10, 1])
REJECTED = ([7, 11, 1], [12, 13, 14, 1])
COMMON = {"use_cpu": True, "bf16": False, "report_to": [], "gradient_checkpointing": False}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("trl") / "base")


def model_of(base, moved=0.0):
    """`moved`: how far its weights are from the base's."""
    model = AutoModelForCausalLM.from_pretrained(base).eval()
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight += moved * torch.randn_like(weight)
    return model


def samples_of(*answers):
    return [
        TrainingSample(
            prompt_ids=tuple(prompt),
            token_ids=tuple(answer),
            free=(True,) * len(answer),
            reward=0.0,
            group="",
        )
        for prompt, answer in answers
    ]


def padded(rows, fill=0):
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])


def their_batch(pairs):
    rows = [prompt + answer for prompt, answer in pairs]
    masks = [[0] * len(prompt) + [1] * len(answer) for prompt, answer in pairs]
    return padded(rows), padded([[1] * len(row) for row in rows]), padded(masks)


def ours(model, reference, pairs, loss, weights):
    allow_packing(model)
    allow_packing(reference)
    assert is_packed(model)
    samples = samples_of(*pairs)
    batch = lay_out(samples, torch.device("cpu"), packed=True)
    with torch.no_grad():
        fixed_BK = read(reference, batch, samples).logprob_BK
    policy_BK = read(model, batch, samples).logprob_BK
    ones_BK = torch.ones_like(policy_BK)
    terms = Terms(policy_BK, fixed_BK, fixed_BK, batch.free_BK, torch.tensor(weights), ones_BK)
    return total_loss(loss, terms, 0.0)


def gradient(loss, model):
    (found,) = torch.autograd.grad(loss, [model.model.layers[0].self_attn.q_proj.weight])
    return found


@pytest.mark.slow
def test_the_supervised_loss_and_its_gradient_are_trls(base, tmp_path):
    pairs = [*zip(PROMPTS, CHOSEN, strict=True), *zip(PROMPTS, REJECTED, strict=True)]
    tokens_BT, seen_BT, mask_BT = their_batch(pairs)
    theirs = model_of(base)
    trainer = trl.SFTTrainer(
        model=theirs,
        args=trl.SFTConfig(output_dir=str(tmp_path), **COMMON),
        train_dataset=datasets.Dataset.from_list([{"input_ids": [2, 3, 7], "completion_mask": [0, 0, 1]}]),
        processing_class=AutoTokenizer.from_pretrained(base),
    )
    theirs.eval()
    labels_BT = tokens_BT.masked_fill(mask_BT == 0, -100)
    inputs = {"input_ids": tokens_BT, "attention_mask": seen_BT, "labels": labels_BT}
    their_loss = trainer.compute_loss(theirs, inputs)
    model = model_of(base)
    our_loss = ours(model, model_of(base), pairs, "cloning", [1.0] * 4) / int(mask_BT.sum())
    assert float(our_loss.detach()) == pytest.approx(float(their_loss.detach()), rel=1e-5)
    assert torch.allclose(gradient(our_loss, model), gradient(their_loss, theirs), atol=1e-6)


@pytest.mark.slow
def test_the_preference_loss_and_its_gradient_are_trls(base, tmp_path):
    chosen, rejected = zip(PROMPTS, CHOSEN, strict=True), zip(PROMPTS, REJECTED, strict=True)
    better, worse = list(chosen), list(rejected)
    tokens_BT, seen_BT, mask_BT = their_batch([*better, *worse])  # all better ones, then all worse ones
    theirs = model_of(base, moved=0.1)
    trainer = trl.DPOTrainer(
        model=theirs,
        ref_model=model_of(base),
        args=trl.DPOConfig(output_dir=str(tmp_path), beta=DPO_BETA, **COMMON),
        train_dataset=datasets.Dataset.from_list([{"prompt": "red", "chosen": " a b c", "rejected": " a d"}]),
        processing_class=AutoTokenizer.from_pretrained(base),
    )
    theirs.eval()
    inputs = {"input_ids": tokens_BT, "attention_mask": seen_BT, "completion_mask": mask_BT}
    their_loss = trainer.compute_loss(theirs, inputs)
    model = model_of(base, moved=0.1)
    pairs = [one for pair in zip(better, worse, strict=True) for one in pair]
    our_loss = ours(model, model_of(base), pairs, "preference", [1.0, -1.0, 1.0, -1.0]) / len(better)
    assert float(our_loss.detach()) == pytest.approx(float(their_loss.detach()), rel=1e-5)
    assert torch.allclose(gradient(our_loss, model), gradient(their_loss, theirs), atol=1e-6)
