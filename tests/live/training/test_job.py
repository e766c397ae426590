"""One update by hand: `ratchet train JOB.json`."""

import json
import subprocess
import sys

import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM

from shared.errors import ArtifactError, SettingsError
from tests.parts.spelling import Speller, demonstrations, mean_reward, write_base
from trainer_service.job import read_job, run


@pytest.fixture
def job_file(tmp_path):
    write_base(tmp_path / "base")
    (tmp_path / "right.json").write_text(demonstrations().model_dump_json())
    job = {"base": "base", "algorithm": "supervised", "demonstrations": "right.json", "out": "made/one"}
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job | {"training": {"threads": 1}}))
    return path


@pytest.mark.slow
def test_a_job_leaves_an_adapter_that_peft_loads_and_that_has_learned(job_file):
    argv = [sys.executable, "-m", "ratchet.cli.main", "train", str(job_file)]
    made = subprocess.run(argv, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["metrics"]["samples"] == 64
    out = job_file.parent / "made" / "one"
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(job_file.parent / "base"), out)
    assert mean_reward(Speller(job_file.parent / "base").sample(out, 64, 0)) > 0.5
    assert not out.with_name("one.work").exists()
    with pytest.raises(SettingsError, match="is there already"):
        run(read_job(job_file))


def test_a_job_with_a_wrong_key_or_an_adapter_of_another_base_is_refused(job_file):
    job = json.loads(job_file.read_text())
    job_file.write_text(json.dumps(job | {"steps": 3}))
    with pytest.raises(SettingsError, match="steps"):
        read_job(job_file)
    adapter = job_file.parent / "adapter"
    adapter.mkdir()
    (adapter / "ratchet.json").write_text(json.dumps({"base": "f" * 64}))
    job_file.write_text(json.dumps(job | {"adapter": "adapter"}))
    with pytest.raises(ArtifactError, match="another base"):
        run(read_job(job_file))
