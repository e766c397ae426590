"""The worker's side of the trainer: importing it loads no ML library, and bad input ends as a message."""

import json
import subprocess
import sys

import numpy as np
import pytest

from shared.config.settings import load_config
from shared.errors import ArtifactError
from shared.messages.events import BaseRequested, Join, WeightUpdateProposed
from shared.messages.proposals import WeightUpdate
from shared.messages.records import AttemptPlan, AttemptState, Evaluation, Release, Sample, ShardState, Turn
from shared.store.store import LocalStore, put_bundle, put_json
from trainer_service.base.weights_check import check_finite
from trainer_service.handlers import Deps, on_base_requested, on_weight_update_proposed
from trainer_service.specs import TrainResult, TrainSpec

HEAVY = ("torch", "transformers", "peft", "deepspeed", "tokenizers")


def test_worker_and_handlers_import_no_ml_library():
    program = f"import sys, trainer_service.worker; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_on_an_endpoint_s_own_weights_gets_a_reason_and_no_update(tmp_path):
    emitted = propose(tmp_path, Release(base="endpoint:gpt", harness="h"), algorithm="entropic")
    assert emitted.type == "weight_update_failed.v1"
    assert "endpoint:gpt" in emitted.reason
    assert emitted.join == Join(id="j", slot="weights", expected=2)


def test_an_unknown_algorithm_is_refused_before_a_process_is_started(tmp_path):
    emitted = propose(tmp_path, release_of_ours(tmp_path), algorithm="magic", rewards=(0.1, 0.9))
    assert "unknown algorithm 'magic'" in emitted.reason


def test_attempts_that_all_earned_the_same_end_as_a_failed_update(tmp_path):
    emitted = propose(tmp_path, release_of_ours(tmp_path), algorithm="entropic", rewards=(0.5, 0.5, 0.5))
    assert emitted.type == "weight_update_failed.v1"
    assert "nothing to learn" in emitted.reason


def test_attempts_without_token_ids_end_as_a_failed_update(tmp_path):
    emitted = propose(tmp_path, release_of_ours(tmp_path), algorithm="entropic")
    assert "no sample to learn from" in emitted.reason


def test_supervised_without_demonstrations_is_refused_before_a_process_is_started(tmp_path):
    emitted = propose(tmp_path, release_of_ours(tmp_path), algorithm="supervised", rewards=(0.1, 0.9))
    assert "supervised needs demonstrations, and this task offers none" in emitted.reason


def test_replies_longer_than_the_models_context_end_as_a_failed_update(tmp_path):
    emitted = propose(tmp_path, release_of_ours(tmp_path, context=1), algorithm="grpo", rewards=(0.1, 0.9))
    assert "all 2 samples are longer than 1 tokens" in emitted.reason


def test_an_adapter_of_another_base_is_refused(tmp_path):
    store = LocalStore(tmp_path / "store")
    foreign = put_bundle(store, {"ratchet.json": json.dumps({"base": "f" * 64}).encode()})
    release = release_of_ours(tmp_path).model_copy(update={"adapter": foreign})
    emitted = propose(tmp_path, release, algorithm="grpo", rewards=(0.1, 0.9))
    assert "was trained on another base (ffffffffffff)" in emitted.reason


def test_right_replies_are_learned_with_the_template_s_arguments_that_the_model_is_asked_with(tmp_path):
    store, asked = LocalStore(tmp_path / "store"), {"enable_thinking": False}
    config = put_json(store, load_config([{"model": {"chat_template": asked}}]))
    event = proposed(store, release_of_ours(tmp_path)).model_copy(update={"config": config})
    folder = tmp_path / "cache" / "training" / event.digest
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(TrainResult(refusal="refused before").model_dump_json())
    (emitted,) = on_weight_update_proposed(event, deps=Deps(store=store, cache_dir=tmp_path / "cache"))
    assert emitted.reason == "refused before"
    assert TrainSpec.model_validate_json((folder / "spec.json").read_bytes()).chat_template == asked


def release_of_ours(tmp_path, context=512):
    config = json.dumps({"hidden_size": 64, "max_position_embeddings": context}).encode()
    return Release(base=put_bundle(LocalStore(tmp_path / "store"), {"config.json": config}), harness="h")


def attempt(release, reward):
    plan = AttemptPlan(attempt_id="a", instance={"id": 1}, arm="train", release=release, seed=0)
    reply = Sample(text="x", prompt_ids=(1,), token_ids=(2,))
    turn = Turn(action={"ask": []}, replies=(reply,))
    return AttemptState(plan=plan, turns=(turn,), final=Evaluation(outcome="ok", score=reward))


def proposed(store, release, algorithm="grpo", rewards=(0.1, 0.9)):
    shard = put_json(store, ShardState(attempts=tuple(attempt(release, reward) for reward in rewards)))
    update = WeightUpdate(
        algorithm=algorithm, shards=(shard,), steps=1, learning_rate=1e-3, kl_weight=0.0, seed=0, reason="r"
    )
    return WeightUpdateProposed(
        run_id="run",
        generation=2,
        join=Join(id="j", slot="weights", expected=2),
        config=put_json(store, load_config([{}])),
        release=release,
        update=put_json(store, update),
        reason="why",
    )


def propose(tmp_path, release, algorithm, rewards=()):
    store = LocalStore(tmp_path / "store")
    event = proposed(store, release, algorithm, rewards)
    (emitted,) = on_weight_update_proposed(event, deps=Deps(store=store, cache_dir=tmp_path / "cache"))
    return emitted


def test_a_base_folder_that_lacks_a_part_ends_as_base_failed(tmp_path):
    store = LocalStore(tmp_path / "store")
    (tmp_path / "model").mkdir()
    config = load_config([{"model": {"base": str(tmp_path / "model")}}])
    event = BaseRequested(run_id="r", config=put_json(store, config))

    (emitted,) = on_base_requested(event, deps=Deps(store=store, cache_dir=tmp_path / "cache"))

    assert emitted.type == "base_failed.v1"
    assert "no config.json" in emitted.reason


@pytest.mark.parametrize(("dtype", "bad_bits"), [("F32", 0x7FC00000), ("F16", 0xFC00), ("BF16", 0x7F80)])
def test_a_model_file_with_nan_or_infinity_is_refused_whatever_its_precision(tmp_path, dtype, bad_bits):
    kind = np.uint32 if dtype == "F32" else np.uint16
    good = np.zeros(5, dtype=kind)
    bad = good.copy()
    bad[3] = bad_bits

    check_finite(safetensors_file(tmp_path / "good", dtype, good))
    with pytest.raises(ArtifactError, match="tensor w holds NaN or infinity"):
        check_finite(safetensors_file(tmp_path / "bad", dtype, bad))


def test_a_model_file_that_is_cut_short_is_refused(tmp_path):
    path = safetensors_file(tmp_path / "w", "F32", np.zeros(5, dtype=np.uint32))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ArtifactError, match="cut short"):
        check_finite(path)


@pytest.mark.parametrize(
    ("header", "values", "reason"),
    [
        (b"", b"", "no safetensors file"),
        (b"[1, 2]", b"", "no safetensors file"),
        (b'{"w": 5}', b"", "no safetensors file"),
        (b'{"w": {"dtype": "F32"}}', b"", "no safetensors file"),
        (b'{"w": {"dtype": "F32", "data_offsets": [8, 0]}}', b"x" * 8, "ends before it begins"),
        (b'{"w": {"dtype": "F32", "data_offsets": [0, 8]}}', b"x" * 9, "longer than its tensors"),
        (b'{"w": {"dtype": "I64", "data_offsets": [0, 8]}}', b"x" * 7, "cut short"),
    ],
)
def test_a_damaged_model_file_is_refused_with_what_is_wrong(header, values, reason, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + values)
    with pytest.raises(ArtifactError, match=reason):
        check_finite(path)


def test_an_empty_model_file_is_refused(tmp_path):
    (tmp_path / "w.safetensors").touch()
    with pytest.raises(ArtifactError, match=r"w\.safetensors is empty"):
        check_finite(tmp_path / "w.safetensors")


def safetensors_file(path, dtype, bits):
    header = {"w": {"dtype": dtype, "shape": [bits.size], "data_offsets": [0, bits.nbytes]}}
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + bits.tobytes())
    return path
