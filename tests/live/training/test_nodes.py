"""One update over two nodes, by the very command of the Kubernetes Job; here both nodes are this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from ratchet.stack.side_programs import take_port
from tests.parts.spelling import demonstrations, write_base
from trainer_service.child import NO_GPU, environment
from trainer_service.job import main
from trainer_service.specs import TrainResult

OVERLAY = Path(__file__).parents[3] / "k8s" / "overlays" / "training"
NAMES = ("localhost", "127.0.0.1")


def job_command():
    """The Job's command and arguments, as they stand there."""
    (container,) = yaml.safe_load((OVERLAY / "job.yaml").read_text())["spec"]["template"]["spec"][
        "containers"
    ]
    return [*container["command"], *container["args"]]


def here(argument, folder, index, port):
    for there, now in {
        "/etc/ratchet/hostfile": str(folder / "hostfile"),
        "/training/adapter.work": str(folder / "adapter.work"),
        "$(JOB_COMPLETION_INDEX)": str(index),
        "training-0.training": NAMES[0],
        "29500": str(port),
    }.items():
        argument = argument.replace(there, now)
    return argument


def prepared(folder, zero_stage):
    folder.mkdir()
    write_base(folder / "base")
    (folder / "right.json").write_text(demonstrations().model_dump_json())
    job = {"base": "base", "algorithm": "supervised", "demonstrations": "right.json", "out": "adapter"}
    settings = {"threads": 1, "steps": 3, "zero_stage": zero_stage}
    (folder / "job.json").write_text(json.dumps(job | {"training": settings}))


@pytest.mark.slow
@pytest.mark.timeout(900)  # each node imports DeepSpeed
@pytest.mark.parametrize("zero_stage", [2, 3])
def test_two_nodes_train_what_one_does(tmp_path, zero_stage):
    prepared(tmp_path / "two", zero_stage)
    assert main(["--prepare", str(tmp_path / "two" / "job.json")]) == 0
    hostfile = (OVERLAY / "hostfile").read_text()
    for index, name in enumerate(NAMES):
        hostfile = hostfile.replace(f"training-{index}.training", name)
    (tmp_path / "two" / "hostfile").write_text(hostfile)
    port = take_port(0, "--port")
    nodes = [
        subprocess.Popen(
            [here(part, tmp_path / "two", index, port) for part in job_command()],
            env=environment(1) | NO_GPU | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )
        for index in range(2)
    ]
    try:
        assert [node.wait(timeout=400) for node in nodes] == [0, 0]
    finally:
        for node in nodes:
            node.kill()
    result = TrainResult.model_validate_json((tmp_path / "two" / "adapter.work" / "result.json").read_bytes())
    assert not result.refusal
    prepared(tmp_path / "one", 0)
    assert main([str(tmp_path / "one" / "job.json")]) == 0
    one, two = (load_file(tmp_path / name / "adapter/adapter_model.safetensors") for name in ("one", "two"))
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-3
