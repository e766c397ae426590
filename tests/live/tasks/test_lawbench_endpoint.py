"""LawBench on an endpoint that Ratchet did not start: a checkpoint served elsewhere, the facts in words, by
configuration alone; whatever the model replies, the run ends and its report shows the baselines."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.parts.tiny_model import write_model

RATCHET = str(Path(sys.executable).with_name("ratchet"))
CONFIG = """
[model]
url = "http://127.0.0.1:{port}/v1"
name = "elsewhere"
[run]
generations = 1
levers = "harness"
[rollouts]
instances = 4
attempts = 1
[gate]
screen_instances = 2
round_instances = 2
max_pairs = 2
test_instances = 4
[harness]
style = "full"
label_list = "shortlist"
shortlist = 3
fact_chars = 300
constrained = {constrained}
"""


@pytest.fixture
def port(tmp_path: Path):
    config = write_model(tmp_path / "model") / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 4096}))
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        number = holder.getsockname()[1]
    command = [sys.executable, "-m", "agent_service.model_server", "--model", str(tmp_path / "model")]
    server = subprocess.Popen(
        [*command, "--name", "elsewhere", "--port", str(number)], stderr=subprocess.DEVNULL
    )
    try:
        _wait(number)
        yield number
    finally:
        server.terminate()
        server.wait()


def _wait(port: int) -> None:
    end_s = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/v1/models").raise_for_status()
            return
        except httpx.HTTPError:
            assert time.monotonic() < end_s
            time.sleep(0.3)


@pytest.mark.slow
@pytest.mark.parametrize("constrained", ["true", "false"])
def test_a_checkpoint_served_elsewhere_reads_the_facts_in_words(
    tmp_path: Path, port: int, constrained: str
) -> None:
    (tmp_path / "my.toml").write_text(CONFIG.format(port=port, constrained=constrained))
    command = [RATCHET, "run", "lawbench", "--config", str(tmp_path / "my.toml"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=170)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["state"] == "done"
    assert shown["final"]["test"]["last"]["n"] == 4
    report = (tmp_path / "runs" / "lawbench-1" / "report" / "report.md").read_text(encoding="utf-8")
    assert "| linear SVM + label names |" in report
    assert "scaffold's own order" in report
