"""`ratchet up`, two runs at once with `--stack`, Flower in a real browser, metrics, `ratchet down`: on real
services. The model is a small endpoint, so no model has to be trained.
"""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ratchet.reports.show import show_run
from ratchet.runs import start
from ratchet.runs.exports.export import export
from ratchet.runs.folder import find
from ratchet.runs.request import RunRequest, resolve_config
from ratchet.stack import up_down
from ratchet.stack.state import StackState, read_state
from ratchet.tasks import new_task
from shared.errors import SettingsError
from shared.messages.routes import SERVICES
from tests.chaos.nemesis import Driven
from tests.live.stack import browser
from tests.parts.endpoint import Endpoint, Fault

pytestmark = pytest.mark.slow
RATCHET = str(Path(sys.executable).with_name("ratchet"))
SMALL = ("run.generations=1", "rollouts.instances=4", "gate.screen_instances=2", "gate.max_pairs=2")


@dataclass
class Standing:
    root: Path
    overrides: list[str]
    up: dict[str, object]
    printed: str

    @property
    def folder(self) -> Path:
        return self.root / "stack"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def submit(self, seed: int, *more: str) -> None:
        """Without following it."""
        overrides = [*self.overrides, f"run.seed={seed}", *more]
        config = resolve_config(str(self.root / "words"), None, overrides, None)
        request = RunRequest(config, "words", self.runs, stack=self.folder)
        start.submit(start.create(request, start.stack_for(request)), start.stack_for(request))

    @property
    def state(self) -> StackState:
        state = read_state(self.folder)
        assert state is not None
        return state

    @property
    def processes(self) -> list[psutil.Process]:
        supervisor = psutil.Process(int(str(self.up["pid"])))
        return [supervisor, *supervisor.children(recursive=True)]


def ratchet(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RATCHET, *arguments], capture_output=True, text=True, cwd=root, timeout=170)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Up, with all that it may have beside it."""
    root = tmp_path_factory.mktemp("standing")
    new_task.create(root / "words")
    beside = ("--flower", "--flower-port", "0", "--metrics", "--metrics-port", "0")
    with Endpoint(lambda body: "abcde"[: 2 + body["seed"] % 4]) as endpoint:
        endpoint.lora_routes = False
        try:
            done = ratchet(root, "up", *beside, "--json")
            assert done.returncode == 0, done.stderr
            endpoint.faults = [Fault(status=503) for _ in range(40)]  # the first job that asks fails
            overrides = [*SMALL, f"model.url='{endpoint.url}'"]
            yield Standing(root, overrides, json.loads(done.stdout), done.stderr)
        finally:
            up_down.down(root / "stack")


@pytest.fixture(scope="module")
def runs(stack: Standing) -> list[str]:
    """Two runs at a time: one that is not followed, one whose follower leaves with Ctrl-C. Both end."""
    stack.submit(seed=1)
    overrides = [word for setting in stack.overrides for word in ("--set", setting)]
    follower = Driven(stack.root, "run", "words", "--stack", "stack", *overrides)
    follower.until(lambda: "run started" in follower.output())
    follower.process.send_signal(signal.SIGINT)
    assert follower.end() == 130, follower.output()
    assert "no longer following words-2; it continues in the stack" in follower.output()
    for run in ("words-1", "words-2"):
        assert ratchet(stack.root, "resume", run).returncode == 0
    return ["words-1", "words-2"]


def test_two_runs_share_a_stack_and_every_command_knows_them(stack: Standing, runs: list[str]) -> None:
    assert up_down.describe(stack.folder)["runs"] == dict.fromkeys(runs, "done")
    for run in runs:
        folder = find(run, stack.runs)
        shown = show_run(folder)
        assert (shown["run"], shown["state"], len(shown["generations"])) == (run, "done", 1)
        assert not (folder.path / "ledger.sqlite").exists()
        assert (folder.path / "report/report.md").exists()  # written by its follower
    export(find("words-1", stack.runs), stack.root / "out")
    assert (stack.root / "out/harness/scaffold.py").exists()


@pytest.mark.slow
def test_a_release_of_a_run_in_the_stack_is_evaluated_beside_it(stack: Standing, runs: list[str]) -> None:
    instances = stack.root / "mine.jsonl"
    instances.write_text("".join(json.dumps({"id": f"mine-{n}", "length": n}) + "\n" for n in (3, 4, 5)))

    done = ratchet(stack.root, "eval", "words", "--release", runs[0], "--instances", str(instances), "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["n"], found["release"]) == (3, runs[0])
    assert 0 < found["mean"] <= 1
    assert up_down.describe(stack.folder)["runs"] == dict.fromkeys(runs, "done"), "a run of its own"


@pytest.mark.slow
def test_stop_ends_a_run_in_the_stack_after_its_generation(stack: Standing, runs: list[str]) -> None:
    stack.submit(7, "run.generations=50")
    run = next(name for name in up_down.describe(stack.folder)["runs"] if name not in runs)

    done = ratchet(stack.root, "stop", run)
    assert ratchet(stack.root, "resume", run).returncode == 0

    assert "will stop after the present generation" in done.stdout
    shown = show_run(find(run, stack.runs))
    assert shown["state"] == "stopped"
    assert 1 <= len(shown["generations"]) < 50
    assert shown["final"]["test"]["last"]["n"] > 0
    assert up_down.describe(stack.folder)["runs"] == dict.fromkeys(runs, "done") | {run: "stopped"}


def test_flower_reads_like_the_loop_and_asks_for_the_password(stack: Standing, runs: list[str]) -> None:
    url = str(stack.up["flower_url"])
    for path in ("/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks"):
        assert httpx.get(url + path, trust_env=False).status_code == 401, path
    assert httpx.get(url + "/metrics", trust_env=False).status_code == 404
    file = stack.folder / "flower.password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    password = file.read_text().strip()
    assert stack.printed.count(password) == 1  # printed once, when it was made
    mine = url.replace("://", f"://ratchet:{password}@")

    workers = browser.page(f"{mine}/workers", stack.root / "browser")
    assert set(re.findall(r'title="(\w+)-\d+@', workers)) == set(SERVICES)
    assert workers.count(">Online<") == len(SERVICES)
    tasks = re.sub(r"<[^>]*>", " ", browser.page(f"{mine}/tasks", stack.root / "browser"))
    names = set(re.findall(r"\b(?:agent|sandbox|feedback|trainer)\.[A-Z]\w+", tasks))
    assert names >= {"agent.CandidatesScored", "sandbox.CandidatesProposed"}, tasks
    assert re.search(r"\['[0-9a-f]{64}'\]", tasks)  # a message is a job's id and nothing else
    again = httpx.get(f"{mine}/api/tasks?state=RETRY", trust_env=False).json().values()
    assert {task["name"] for task in again} <= {"agent.ShardOpened", "agent.CandidatesScored"}
    assert any("503" in task["exception"] for task in again), again


def test_flower_can_not_stop_anything(stack: Standing) -> None:
    url, password = str(stack.up["flower_url"]), (stack.folder / "flower.password").read_text().strip()
    login = ("ratchet", password)
    [worker, *_] = httpx.get(f"{url}/api/workers", auth=login, trust_env=False).json()
    done = httpx.post(f"{url}/api/worker/shutdown/{worker}", auth=login, trust_env=False)
    assert done.status_code == 403


def test_metrics_tell_of_both_runs(stack: Standing, runs: list[str]) -> None:
    text = httpx.get(str(stack.up["metrics_url"]), trust_env=False).text
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["ratchet_up",] == 1
    assert samples["ratchet_runs", "done"] == 2
    for run in runs:
        assert samples["ratchet_generation", run] == 1
        assert samples["ratchet_jobs", "agent", "done", run] > 0
        assert samples["ratchet_tokens_total", "completion", run] > 0


def test_a_second_up_finds_it_and_changes_nothing(
    stack: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert up_down.up(stack.folder, None, None, None)["pid"] == stack.up["pid"]
    assert "is up already" in capsys.readouterr().err


def test_a_killed_worker_is_started_again(stack: Standing) -> None:
    [before] = [program for program in stack.state.programs if program.name == "sandbox"]
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    end_s = time.monotonic() + 60
    while True:
        [now] = [program for program in stack.state.programs if program.name == "sandbox"]
        if now.pid not in (None, before.pid) and now.deaths == 1:
            return
        assert time.monotonic() < end_s, stack.state
        time.sleep(0.1)


def test_down_leaves_nothing_running(stack: Standing, runs: list[str]) -> None:  # the last: it ends the stack
    processes = stack.processes
    assert len(processes) >= 12  # supervisor, broker, four workers and their children, Flower, metrics
    down = ratchet(stack.root, "down")
    assert (down.returncode, "is down" in down.stdout) == (0, True)
    assert not psutil.wait_procs(processes, timeout=5)[1]
    assert "is not up" in up_down.down(stack.folder)
    with pytest.raises(SettingsError, match=r"`ratchet up .*/stack` starts it"):
        stack.submit(seed=2)
    assert show_run(find("words-1", stack.runs))["state"] == "done"
