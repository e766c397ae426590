"""Real models, real training: the seed model, both algorithms, resume after kill -9, two processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from shared.config.settings import load_config
from shared.errors import TrainingError
from shared.messages.events import BaseRequested
from shared.store.store import LocalStore, get_bundle, materialize, put_json, read_folder
from tests.live.training.stack import Stack, is_valid, largest_difference, mean_reward, train_here, weights
from trainer_service.base.seed_model import build
from trainer_service.handlers import Deps, on_base_requested, on_weight_update_proposed
from trainer_service.publish import write_spec
from trainer_service.specs import SeedSpec, TrainResult, TrainSpec
from trainer_service.training.checkpoints import MARKER
from trainer_service.training.model import sequence_logprobs
from trainer_service.training.train import train

pytestmark = pytest.mark.slow  # `make demo` does the same; the objectives are tried on a smaller model
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    return Stack(tmp_path_factory.mktemp("trainer"))


@pytest.fixture(scope="module")
def first_samples(stack):
    return stack.sample()


def test_the_seed_model_learns_the_form_and_no_letter_is_preferred(stack, first_samples):
    assert stack.base_ready.type == "base_ready.v1"
    assert stack.base_ready.cost.train_s > 0
    valid = [reply for reply, _ in first_samples if is_valid(reply.text)]
    assert len(valid) >= 48  # of 64, unconstrained
    assert 0.15 < mean_reward(first_samples) < 0.35  # a quarter by chance


def test_a_base_that_was_built_once_costs_nothing_again_also_in_another_store(stack, tmp_path):
    again = stack.request_base()
    assert again.base == stack.base_ready.base
    assert again.cost.train_s == 0

    other = Deps(store=LocalStore(tmp_path), cache_dir=stack.deps.cache_dir)
    config = put_json(other.store, load_config([{"run": {"task": str(stack.root / "letters")}}]))
    (emitted,) = on_base_requested(BaseRequested(run_id="r2", config=config), deps=other)
    assert emitted.base == stack.base_ready.base
    assert emitted.cost.train_s == 0


def test_the_same_spec_builds_the_same_seed_model_and_a_reached_loss_ends_it_sooner(stack, tmp_path):
    sizes = {"lines": 64, "steps": 6, "hidden": 32, "layers": 1, "vocabulary": 270, "batch": 16}
    corpus = stack.root / "letters" / "seed_corpus.py"

    def build_in(name, **more):
        out, result = tmp_path / name, tmp_path / f"{name}.json"
        return build(SeedSpec(corpus=corpus, out=out, result=result, **sizes, **more))

    build_in("one")
    build_in("two")
    assert read_folder(tmp_path / "one") == read_folder(tmp_path / "two")
    assert build_in("soon", target_loss=100.0).steps == 1


def test_prompt_and_answer_are_tokenized_apart(stack):
    marker = stack.tokenizer.convert_tokens_to_ids("<|assistant|>")
    prompt = stack.tokenizer.apply_chat_template(
        [{"role": "user", "content": "red "}], add_generation_prompt=True, tokenize=False
    )
    assert stack.tokenizer(prompt, add_special_tokens=False)["input_ids"][-1] == marker


@pytest.mark.usefixtures("engine_room")
@pytest.mark.parametrize("algorithm", ["best_of_n", "entropic"])
def test_two_updates_raise_what_the_policy_earns(stack, first_samples, tmp_path, algorithm):
    train_here(stack, tmp_path / "one", first_samples, algorithm=algorithm)
    second = stack.sample(tmp_path / "one" / "adapter", seed=1)
    train_here(stack, tmp_path / "two", second, tmp_path / "one" / "adapter", algorithm=algorithm)
    third = stack.sample(tmp_path / "two" / "adapter", seed=2)

    assert mean_reward(second) > mean_reward(first_samples) + 0.03
    assert mean_reward(third) > mean_reward(first_samples) + 0.10
    assert sum(is_valid(reply.text) for reply, _ in third) >= 48


@pytest.mark.usefixtures("engine_room")
def test_all_zero_stages_train_the_same_adapter(stack, first_samples, tmp_path):
    for stage in (0, 2, 3):
        train_here(stack, tmp_path / f"{stage}", first_samples, steps=3, zero_stage=stage)
    plain, second, third = (weights(tmp_path / f"{stage}" / "adapter") for stage in (0, 2, 3))
    assert largest_difference(plain, second) < 1e-5
    assert largest_difference(plain, third) < 1e-3


@pytest.mark.usefixtures("engine_room")
def test_a_learning_rate_that_explodes_publishes_nothing(stack, first_samples, tmp_path):
    with pytest.raises(TrainingError, match="learning_rate"):
        train_here(stack, tmp_path / "one", first_samples, learning_rate=1.0, steps=6)
    assert not (tmp_path / "one" / "adapter").exists()


@pytest.mark.usefixtures("engine_room")
@pytest.mark.parametrize("stage", [0, 2])
def test_steps_without_a_finite_gradient_are_not_applied_and_three_end_it(
    stack, first_samples, tmp_path, stage
):
    shutil.copytree(stack.base, tmp_path / "base")
    tensors = load_file(tmp_path / "base" / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(tensors, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(TrainingError, match="3 steps gave no finite gradient"):
        train_here(stack, tmp_path / "one", first_samples, base=tmp_path / "base", zero_stage=stage)
    assert not (tmp_path / "one" / "adapter").exists()


def test_a_killed_training_resumes_and_ends_in_the_same_weights(stack, first_samples, engine_room):
    event = stack.propose(first_samples)
    folder = stack.deps.cache_dir / "training" / event.digest
    kill_after_two_steps(stack, event, folder)
    assert not (folder / "result.json").exists()

    (emitted,) = on_weight_update_proposed(event, deps=stack.deps)

    assert emitted.type == "adapter_published.v1"
    assert emitted.join == event.join
    assert "resuming after" in (folder / "log.txt").read_text()
    assert "resuming after 0" not in (folder / "log.txt").read_text()
    published = materialize(stack.deps.store, emitted.adapter, stack.root / "published")
    uninterrupted = stack.root / "uninterrupted"
    shutil.copytree(folder, uninterrupted, ignore=shutil.ignore_patterns("adapter", "checkpoints"))
    moved = TrainSpec.model_validate_json((folder / "spec.json").read_bytes()).model_copy(
        update={"out": uninterrupted / "adapter", "checkpoints": uninterrupted / "checkpoints"}
    )
    train(moved)
    assert largest_difference(weights(published), weights(uninterrupted / "adapter")) < 1e-6
    check_fingerprint(stack, published)

    # The same message again: nothing is trained, the answer is the same.
    lines = (folder / "log.txt").read_text()
    assert on_weight_update_proposed(event, deps=stack.deps) == [emitted]
    assert (folder / "log.txt").read_text() == lines


def kill_after_two_steps(stack, event, folder):
    """Start the child as the handler does, and kill -9 its group once two checkpoints are complete."""
    settings = load_config([{"training": {"threads": 1, "batch": 16, "micro_tokens": 512}}]).training
    write_spec(event, settings, stack.deps.store, stack.deps.cache_dir, folder)
    argv = [sys.executable, "-m", "trainer_service.training.train", str(folder / "spec.json")]
    with subprocess.Popen(
        argv, start_new_session=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:
        deadline = time.monotonic() + 120
        while not (folder / "checkpoints" / "step_2" / MARKER).exists():
            assert child.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.killpg(child.pid, signal.SIGKILL)


def check_fingerprint(stack, published):
    facts = json.loads((published / "ratchet.json").read_text())
    mark = facts["fingerprint"]
    model = AutoModelForCausalLM.from_pretrained(stack.base).eval()
    assert sequence_logprobs(model, mark["token_ids"]) == pytest.approx(mark["base_logprobs"], abs=1e-3)
    policy = PeftModel.from_pretrained(model, published).eval()
    assert sequence_logprobs(policy, mark["token_ids"]) == pytest.approx(mark["logprobs"], abs=1e-3)
    assert mark["logprobs"] != pytest.approx(mark["base_logprobs"], abs=1e-2)
    assert facts["name"].startswith("run-g1-")
    assert facts["base"] == stack.base_ready.base


def test_two_processes_under_the_deepspeed_launcher_train_what_one_does(stack, first_samples, engine_room):
    event = stack.propose(first_samples, processes=2, zero_stage=2)
    (emitted,) = on_weight_update_proposed(event, deps=stack.deps)
    assert emitted.type == "adapter_published.v1", emitted.reason
    folder = stack.deps.cache_dir / "training" / event.digest
    result = TrainResult.model_validate_json((folder / "result.json").read_bytes())
    assert result.metrics["samples"] > 0
    assert "adapter_model.safetensors" in get_bundle(stack.deps.store, emitted.adapter)
    alone = TrainSpec.model_validate_json((folder / "spec.json").read_bytes()).model_copy(
        update={"out": folder / "alone", "checkpoints": folder / "alone-checkpoints"}
    )
    train(alone)
    assert largest_difference(weights(folder / "adapter"), weights(folder / "alone")) < 1e-4
