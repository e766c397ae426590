"""Trainings that must end without an adapter, and settings that must not change what is learned."""

import os
import subprocess
import sys
import threading
import traceback

import pytest
import torch
from safetensors.torch import load_file

from shared.box.machine_lock import quiet
from shared.errors import TrainingError
from tests.parts.slow import one_in
from tests.parts.spelling import mean_reward
from trainer_service.training import checkpoints


@pytest.fixture(scope="module")
def samples(speller):
    return speller.sample(None, 16, 0)


def refused(speller, folder, samples, match, **settings):
    with pytest.raises(TrainingError, match=match):
        speller.update(folder, samples, steps=4, **settings)
    assert not (folder / "adapter").exists()


def test_a_policy_that_diverged_is_not_published(speller, samples, tmp_path):
    refused(speller, tmp_path / "one", samples, "the policy diverged", max_kl=1e-6)


def test_steps_that_led_to_a_diverged_policy_are_taken_back(speller, samples, tmp_path):
    settings = {"algorithm": "reinforce", "learning_rate": 0.01}
    result = speller.update(tmp_path / "whole", samples, **settings, steps=12, max_kl=2.0)
    taken = len(result.curves["kl"])  # the last of them met the policy that was too far off
    assert 2 < taken < 12
    kept = taken - 2
    assert (result.metrics["steps"], result.metrics["taken_back"]) == (kept, 2)
    short = speller.update(tmp_path / "short", samples, **settings, steps=kept)
    assert result.metrics["kl_to_base"] == short.metrics["kl_to_base"] < 2.0


def test_samples_of_another_policy_are_not_learned_from(speller, samples, tmp_path):
    shifted = [s.model_copy(update={"served": tuple(p - 1 for p in s.served)}) for s in samples]
    refused(speller, tmp_path / "one", shifted, "1 nats a token from the trainer's")


def test_a_token_that_the_base_does_not_have_is_refused(speller, samples, tmp_path):
    foreign = [s.model_copy(update={"token_ids": (*s.token_ids[:-1], 99)}) for s in samples]
    refused(speller, tmp_path / "one", foreign, "token 99 is outside of the base's vocabulary of 15")


def test_samples_over_the_limit_are_left_out_and_counted(speller, samples, tmp_path):
    long = samples[0].model_copy(update={"prompt_ids": samples[0].prompt_ids * 20})
    result = speller.update(tmp_path / "one", [*samples, long], steps=2)
    assert result.metrics["too_long"] == 1.0
    refused(speller, tmp_path / "two", samples, "all 64 samples are longer than 4 tokens", max_tokens=4)


def test_a_full_disk_within_a_checkpoint_publishes_nothing_and_the_training_goes_on_later(
    speller, samples, tmp_path
):
    if os.geteuid() != 0:
        pytest.skip("a disk of its own takes root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "ratchet-test", str(disk)]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("no disk can be mounted here")
    try:
        folder = tmp_path / "one"
        with pytest.raises((OSError, RuntimeError)):
            speller.update(folder, samples, steps=6, checkpoints=disk)
        assert not (folder / "adapter").exists()
        done = checkpoints.complete_steps(disk)
        assert done
        assert done[-1] < 6
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        result = speller.update(tmp_path / "later", samples, steps=6, checkpoints=disk)
        uninterrupted = speller.update(tmp_path / "whole", samples, steps=6)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    later, whole = (
        load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("later", "whole")
    )
    assert result.metrics["kl_to_base"] == uninterrupted.metrics["kl_to_base"]
    assert all(torch.equal(later[name], whole[name]) for name in whole)


@pytest.mark.parametrize("precision", one_in(2, ["bfloat16", "float16"]))
def test_half_precision_with_recomputed_layers_learns_and_keeps_the_adapter_whole(
    speller, samples, tmp_path, precision
):
    before = mean_reward(speller.sample(None, 64, 9))
    speller.update(
        tmp_path / "one", samples, algorithm="supervised", precision=precision, gradient_checkpointing=True
    )
    adapter = tmp_path / "one" / "adapter"
    assert {t.dtype for t in load_file(adapter / "adapter_model.safetensors").values()} == {torch.float32}
    assert mean_reward(speller.sample(adapter, 64, 9)) > before + 0.3


def test_recomputed_layers_and_small_micro_batches_change_nothing(speller, samples, tmp_path):
    plain = speller.update(tmp_path / "one", samples, steps=3)
    other = speller.update(tmp_path / "two", samples, steps=3, micro_tokens=40, gradient_checkpointing=True)
    for name, series in plain.curves.items():
        assert other.curves[name] == pytest.approx(series, rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize("stage", one_in(3, [0, 2, 3]))
def test_ppos_value_head_is_trained_along_and_not_published(speller, samples, tmp_path, stage):
    speller.update(tmp_path / "one", samples, algorithm="ppo", steps=3, zero_stage=stage)
    names = load_file(tmp_path / "one" / "adapter" / "adapter_model.safetensors").keys()
    assert all(".lora_" in name for name in names)


def test_a_timed_block_waits_for_a_micro_batch_and_not_for_a_whole_step(speller, samples, tmp_path):
    within, over, trainer = 0, threading.Event(), threading.get_ident()

    def time_blocks():
        nonlocal within
        while not over.is_set():
            with quiet():
                stack = traceback.extract_stack(sys._current_frames()[trainer])
                within += any(frame.name == "take_step" for frame in stack)

    timed = threading.Thread(target=time_blocks)
    timed.start()
    try:
        speller.update(tmp_path / "one", samples, steps=1, micro_tokens=1)
    finally:
        over.set()
        timed.join()
    assert within > 3  # of the step's micro-batches, one for each sample; how often, the scheduler decides
