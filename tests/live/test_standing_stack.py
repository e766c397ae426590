"""`ratchet up`, two runs at once with `--stack`, Flower in a real browser, metrics, `ratchet down`: by the
command line, on the real services. The model is a small endpoint, so that nothing has to be trained.
"""

import json
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ratchet import new_task, standing
from ratchet.exporting import export
from ratchet.runs import find
from ratchet.show import show_run
from ratchet.standing import describe
from shared.routes import SERVICES
from tests.endpoint import Endpoint
from tests.live import browser

RATCHET = str(Path(sys.executable).with_name("ratchet"))
SMALL = ("run.generations=1", "rollouts.instances=4", "gate.screen_instances=2", "gate.max_pairs=2")


@dataclass
class Standing:
    folder: Path
    endpoint: Endpoint
    up: dict[str, object]
    told: str

    def ratchet(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return ratchet(self.folder, *arguments)

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        settings = (*SMALL, f"model.url='{self.endpoint.url}'")
        overrides = [word for setting in settings for word in ("--set", setting)]
        return self.ratchet("run", "words", "--stack", "stack", *overrides, *options)

    @property
    def processes(self) -> list[psutil.Process]:
        supervisor = psutil.Process(int(str(self.up["pid"])))
        return [supervisor, *supervisor.children(recursive=True)]


def ratchet(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RATCHET, *arguments], capture_output=True, text=True, cwd=folder, timeout=170)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Up, with all that it may have beside it."""
    folder = tmp_path_factory.mktemp("standing")
    new_task.create(folder / "words")
    beside = ("--flower", "--flower-port", "0", "--metrics", "--metrics-port", "0")
    with Endpoint(lambda body: "abcde"[: 2 + body["seed"] % 4]) as endpoint:
        endpoint.lora_routes = False
        try:
            done = ratchet(folder, "up", *beside, "--json")
            assert done.returncode == 0, done.stderr
            yield Standing(folder, endpoint, json.loads(done.stdout), done.stderr)
        finally:
            ratchet(folder, "down")


@pytest.fixture(scope="module")
def runs(stack: Standing) -> list[str]:
    """Two runs at a time: one that nobody follows, one that is followed to its end."""
    left = stack.run("--detach")
    assert "run words-1 in the stack" in left.stdout, left.stderr
    followed = stack.run("--json")
    assert followed.returncode == 0, followed.stderr
    assert json.loads(followed.stdout)["state"] == "done"
    watched = stack.ratchet("watch", "words-1")
    assert "done: all 1 generations are done" in watched.stdout, watched.stderr
    return ["words-1", "words-2"]


def test_two_runs_share_a_stack_and_every_command_knows_them(stack: Standing, runs: list[str]) -> None:
    assert describe(stack.folder / "stack")["runs"] == dict.fromkeys(runs, "done")
    for run in runs:
        folder = find(run, stack.folder / "runs")
        shown = show_run(folder)
        assert (shown["run"], shown["state"], len(shown["generations"])) == (run, "done", 1)
        assert not (folder.path / "ledger.sqlite").exists()
    assert (stack.folder / "runs/words-2/report/report.md").exists()  # whoever followed it wrote it
    export(find("words-1", stack.folder / "runs"), stack.folder / "out")
    assert (stack.folder / "out/harness/scaffold.py").exists()
    assert json.loads(stack.ratchet("resume", "words-1", "--json").stdout)["state"] == "done"


def test_flower_reads_like_the_loop_and_asks_for_the_password(stack: Standing, runs: list[str]) -> None:
    url = str(stack.up["flower_url"])
    for path in ("/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks"):
        assert httpx.get(url + path, trust_env=False).status_code == 401, path
    assert httpx.get(url + "/metrics", trust_env=False).status_code == 404
    file = stack.folder / "stack" / "flower.password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    password = file.read_text().strip()
    assert stack.told.count(password) == 1  # told once, when it was made
    mine = url.replace("://", f"://ratchet:{password}@")

    workers = browser.page(f"{mine}/workers", stack.folder / "browser")
    online = set(re.findall(r'title="(\w+)-\d+@', workers))
    assert online == set(SERVICES)
    assert workers.count(">Online<") == len(SERVICES)
    tasks = re.sub(r"<[^>]*>", " ", browser.page(f"{mine}/tasks", stack.folder / "browser"))
    names = set(re.findall(r"\b(?:agent|sandbox|feedback|trainer)\.[A-Z]\w+", tasks))
    assert names >= {"agent.CandidatesScored", "sandbox.CandidatesProposed"}, tasks
    assert re.search(r"\['[0-9a-f]{64}'\]", tasks)  # a message is a job's id and nothing else


def test_flower_can_not_stop_anything(stack: Standing) -> None:
    url, file = str(stack.up["flower_url"]), stack.folder / "stack" / "flower.password"
    login = ("ratchet", file.read_text().strip())
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


def test_a_second_up_finds_it_and_a_taken_port_is_named(stack: Standing) -> None:
    again = stack.ratchet("up", "--json")
    assert (again.returncode, json.loads(again.stdout)["pid"]) == (0, stack.up["pid"])
    assert "is up already" in again.stderr
    port = str(stack.up["flower_url"]).rpartition(":")[2]
    other = stack.ratchet("up", "other", "--flower", "--flower-port", port)
    assert other.returncode == 2
    assert f"port {port} can't be used" in other.stderr
    assert "--flower-port" in other.stderr
    assert not (stack.folder / "other" / "supervisor.json").exists()


def test_down_leaves_nothing_running(stack: Standing, runs: list[str]) -> None:  # the last: it ends the stack
    processes = stack.processes
    assert len(processes) >= 12  # supervisor, broker, four workers and their children, Flower, metrics
    down = stack.ratchet("down")
    assert (down.returncode, "is down" in down.stdout) == (0, True)
    assert not psutil.wait_procs(processes, timeout=5)[1]
    assert "is not up" in standing.down(stack.folder / "stack")
    late = stack.run()
    assert (late.returncode, "`ratchet up stack` starts it" in late.stderr) == (2, True)
    assert show_run(find("words-1", stack.folder / "runs"))["state"] == "done"
