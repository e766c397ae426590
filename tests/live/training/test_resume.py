"""A training that was killed and is begun again ends in the same bits, for every kind of loss: the
optimizer's state and PPO's value head are taken up again too. What a kill leaves is its checkpoints; so does
a disk that was full.
"""

import json
import shutil
import statistics

import pytest
import torch
from safetensors.torch import load_file

from tests.parts.slow import one_in
from tests.parts.small_disk import enlarge, small_disk
from tests.parts.spelling import Speller, demonstrations, write_base
from trainer_service.child import run_child
from trainer_service.job import prepare, read_job
from trainer_service.training import checkpoints

STEPS = 4


@pytest.fixture(scope="module")
def samples(speller):
    return speller.sample(None, 8, 0)


def killed_before(folder):
    """The last checkpoint was not begun."""
    shutil.rmtree(folder / f"step_{STEPS}")


def killed_within(folder):
    """The last checkpoint was being written: its marker comes last, and its name after that."""
    (folder / f"step_{STEPS}" / checkpoints.MARKER).unlink()
    (folder / f"step_{STEPS}").rename(folder / f".step_{STEPS}")


@pytest.mark.parametrize("killed", [killed_before, killed_within])
@pytest.mark.parametrize("algorithm", one_in(3, ["grpo", "dpo", "reinforce", "ppo", "supervised"]))
def test_a_killed_training_resumes_to_the_same_bits(speller, samples, tmp_path, algorithm, killed):
    kept = tmp_path / "kept"
    settings = {"algorithm": algorithm, "steps": STEPS, "checkpoints": kept}
    whole = speller.update(tmp_path / "whole", samples, **settings)
    killed(kept)
    assert checkpoints.complete_steps(kept)[-1] == STEPS - 1
    torch.manual_seed(99)  # where the generator stands meanwhile does not matter
    later = speller.update(tmp_path / "later", samples, **settings)
    one, other = (
        load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("whole", "later")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert later.metrics["kl_to_base"] == whole.metrics["kl_to_base"]
    assert later.curves["loss"] == whole.curves["loss"][-1:]  # the first one recorded the steps before


@pytest.mark.slow
@pytest.mark.timeout(900)  # each process imports DeepSpeed
@pytest.mark.parametrize("zero_stage", [2, 3])
def test_two_processes_that_were_killed_resume_to_the_same_weights(tmp_path, zero_stage):
    write_base(tmp_path / "base")
    (tmp_path / "right.json").write_text(demonstrations().model_dump_json())
    job = {"base": "base", "algorithm": "supervised", "demonstrations": "right.json", "out": "adapter"}
    settings = {"threads": 2, "processes": 2, "steps": STEPS, "zero_stage": zero_stage}
    (tmp_path / "job.json").write_text(json.dumps(job | {"training": settings}))
    spec = prepare(read_job(tmp_path / "job.json"))

    def trained():
        run_child(
            "trainer_service.training.train",
            spec.result.with_name("spec.json"),
            threads=2,
            processes=2,
            on_cpu=True,
        )
        return load_file(spec.out / "adapter_model.safetensors")

    whole = trained()
    killed_within(spec.checkpoints)
    shutil.rmtree(spec.out)
    spec.result.unlink()
    later = trained()
    assert "resuming after 3" in (spec.result.with_name("log.txt")).read_text()
    assert max(float((whole[name] - later[name]).abs().max()) for name in whole) < 1e-6


def test_a_training_that_found_the_disk_full_resumes_to_the_same_bits(speller, samples, tmp_path):
    settings = {"algorithm": "reinforce", "steps": STEPS}
    speller.update(tmp_path / "whole", samples, **settings, checkpoints=tmp_path / "kept")
    last = tmp_path / "kept" / f"step_{STEPS}"
    one_kb = sum(path.stat().st_size for path in last.rglob("*")) >> 10
    assert one_kb > 0  # a disk of size 0 would have no bound
    with small_disk(tmp_path / "small", f"{one_kb * 3 // 2}k") as disk:
        with pytest.raises((OSError, RuntimeError)):
            speller.update(tmp_path / "stopped", samples, **settings, checkpoints=disk)
        assert checkpoints.complete_steps(disk) == [1]  # the one that was being written does not count
        enlarge(disk)
        speller.update(tmp_path / "later", samples, **settings, checkpoints=disk)
    whole, later = (
        load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("whole", "later")
    )
    assert all(torch.equal(whole[name], later[name]) for name in whole)


@pytest.mark.slow
def test_supervised_training_ends_where_its_answers_are_known_also_when_it_is_resumed(tmp_path, engine_room):
    """64 demonstrations are passes of 8 steps, four at most. This base can be as good as certain."""
    sharp = Speller(write_base(tmp_path / "base", initializer_range=0.5))
    sharp.update(tmp_path / "first", [], algorithm="supervised", steps=160)
    known = {"algorithm": "supervised", "adapter": tmp_path / "first" / "adapter", "learning_rate": 0.001}
    whole = sharp.update(tmp_path / "whole", [], **known, checkpoints=tmp_path / "kept")
    taken = whole.metrics["steps"]
    assert 8 <= taken < 32
    assert statistics.fmean(whole.curves["loss"][-8:]) < 0.01 <= statistics.fmean(whole.curves["loss"][-9:-1])
    shutil.rmtree(tmp_path / "kept" / f"step_{checkpoints.complete_steps(tmp_path / 'kept')[-1]}")
    later = sharp.update(tmp_path / "later", [], **known, checkpoints=tmp_path / "kept")
    assert (later.metrics["steps"], later.metrics["kl_to_base"]) == (taken, whole.metrics["kl_to_base"])
    assert 0 < len(later.curves["loss"]) < 8  # it did not count its pass anew
