"""A real run (Celery, Valkey, model server) ends by itself though each of its parts is killed with -9.
One that was interrupted, and then killed whole, ends by `ratchet resume`. Each effect happens once.
"""

import os
import signal
from pathlib import Path

import pytest

from ratchet.runs import folder as runs
from ratchet.runs.folder import RunFolder
from ratchet.runs.request import RunRequest, resolve_config
from ratchet.tasks import new_task
from shared.ledger.ledger import Ledger
from shared.messages import events as e
from tests.chaos.checker import RunRecord, paid_twice, violations
from tests.chaos.nemesis import Driven, Nemesis, gone
from trainer_service.training.checkpoints import MARKER

SMALL = {
    "run.generations": 1,
    "rollouts.instances": 6,
    "rollouts.shard": 2,
    "gate.screen_instances": 2,
    "gate.round_instances": 4,
    "gate.max_pairs": 4,
    "gate.test_instances": 4,
    "training.steps": 12,
}
TINY_SEED = {"lines = 2000": "lines = 200", "steps = 120": "steps = 20", "hidden = 64": "hidden = 32"}


pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]  # test_kills.py kills parts of a smaller stack


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny task; its runs share one seed model."""
    root = tmp_path_factory.mktemp("real")
    new_task.create(root / "words")
    manifest = root / "words" / "task.toml"
    text = manifest.read_text()
    for old, new in TINY_SEED.items():
        assert old in text
        text = text.replace(old, new)
    manifest.write_text(text)
    return root


def start(root: Path, name: str) -> tuple[Driven, RunFolder]:
    overrides = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    driven = Driven(root, "run", "words", "--name", name, "--json", *overrides)
    return driven, RunFolder(root / "runs" / name)


def check(folder: RunFolder) -> RunRecord:
    run = RunRecord(folder)
    assert violations(run) == []
    assert run.state == "done", run.emitted(e.RunFinished)
    assert not run.emitted(e.JobDied)
    return run


def test_a_run_ends_by_itself_though_each_of_its_parts_is_killed(root: Path) -> None:
    driven, folder = start(root, "parts")
    nemesis = Nemesis(driven, folder)
    try:
        nemesis.after(e.CandidatesProposed)  # of the first shard: the others still have to ask the model
        nemesis.kill("agent_service.worker", child=True)
        nemesis.kill("agent_service.model_server")
        nemesis.kill("sandbox_service.worker")
        nemesis.after(e.CandidatesScored)
        nemesis.kill("valkey-server")
        nemesis.after(e.WeightUpdateProposed)
        driven.until(lambda: list(root.glob(f"runs/.cache/training/*/checkpoints/step_*/{MARKER}")))
        nemesis.kill("trainer_service.training.train")
        assert driven.end() == 0, driven.output()
    finally:
        driven.process.kill()
    run = check(folder)
    assert len(run.emitted(e.AdapterPublished)) == 1  # though its trainer was killed
    assert "resuming after" in (folder.path / "logs" / "trainer.log").read_text()
    assert paid_twice(run) == []


def begun(root: Path, name: str) -> RunFolder:
    """A run whose supervisor died before it submitted RunStarted."""
    overrides = [f"{key}={value}" for key, value in SMALL.items()]
    config = resolve_config(str(root / "words"), None, overrides, "harness")
    folder = runs.create(RunRequest(config, "words", root / "runs", name))
    Ledger(folder.ledger_url).create_schema()
    return folder


def test_an_interrupted_run_leaves_no_process_and_one_killed_whole_is_resumed(root: Path) -> None:
    folder = begun(root, "whole")
    driven = Driven(root, "resume", "whole", "--json")
    nemesis = Nemesis(driven, folder)
    try:
        nemesis.after(e.BaseRequested)
        family = driven.family()
        driven.process.send_signal(signal.SIGINT)
        assert driven.end() == 130
        assert gone(family)
        assert "`ratchet resume whole` continues from here" in driven.output()

        driven = nemesis.driven = Driven(root, "resume", "whole", "--json")
        nemesis.after(e.CandidatesProposed, 2)
        family = driven.family()
        assert len(family) >= 11  # the supervisor, the broker, four workers and their children, the model
        for process in family:
            os.kill(process.pid, signal.SIGKILL)
        driven.process.wait()
        assert gone(family)

        driven = Driven(root, "resume", "whole", "--json")
        assert driven.end() == 0, driven.output()
    finally:
        driven.process.kill()
    run = check(folder)
    assert len(run.emitted(e.BaseReady)) == 1
