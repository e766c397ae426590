"""docs/cluster.md on one machine: the parts as the manifests start them, the commands of the images with the
variables of the manifests, boxes that are pods, and what a person types, to the report. Only addresses
differ.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ratchet.deploy.local_cluster import LocalCluster
from ratchet.deploy.manifests import ROOT, find_renderer, render
from ratchet.tasks import new_task
from shared.messages.routes import SERVICES
from tests.chaos.test_real_run import SMALL, TINY_SEED
from tests.live.test_images import last
from tests.servers import cluster_broker, postgres, s3

PYTHON = sys.executable
CODE = Path(__file__).parents[2]
IMAGES = {"ratchet/box:0.1.0": True, "ratchet/box-bare:0.1.0": False}
SECRETS = {
    "PGPASSWORD": postgres.PASSWORD,
    "AWS_ACCESS_KEY_ID": s3.ACCESS,
    "AWS_SECRET_ACCESS_KEY": s3.SECRET,
    "REDIS_PASSWORD": cluster_broker.PASSWORD,
}
pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(1200)]


class Place:
    """The cluster's documents, and this machine's addresses in place of theirs."""

    def __init__(self, folder: Path, addresses: dict[str, str]) -> None:
        self.folder = folder
        self.documents = render(ROOT / "overlays" / "local", find_renderer())
        self.addresses = addresses

    def here(self, text: str) -> str:
        for there, here in self.addresses.items():
            text = text.replace(there, here)
        return text

    def container(self, kind: str, name: str) -> dict[str, Any]:
        found = next(d for d in self.documents if d["kind"] == kind and d["metadata"]["name"] == name)
        container: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
        return container

    def command(self, kind: str, name: str, target: str) -> list[str]:
        """What would run there: the manifest's command, else the image's; and the manifest's arguments."""
        container = self.container(kind, name)
        words = container.get("command") or json.loads(last(target, "ENTRYPOINT"))
        words = [self.here(word) for word in [*words, *container.get("args", [])]]
        program = {"python": PYTHON, "ratchet": str(Path(PYTHON).with_name("ratchet"))}
        return [program.get(words[0], words[0]), *words[1:]]

    def environment(self, kind: str, name: str) -> dict[str, str]:
        """The manifest's variables, and what every process needs; nothing else of ours."""
        found = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CODE), "HOME": str(self.folder)}
        for variable in self.container(kind, name).get("env", []):
            value = variable.get("value") or SECRETS.get(variable["name"])
            if value is not None:
                found[variable["name"]] = self.here(value).replace("boxes.json", f"{name}.json")
        return found

    def once(self, kind: str, name: str, target: str) -> None:
        done = subprocess.run(
            self.command(kind, name, target),
            env=self.environment(kind, name),
            cwd=CODE,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stderr[-2000:]}"

    def keep(self, name: str, target: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                self.command("Deployment", name, target),
                env=self.environment("Deployment", name),
                cwd=CODE,
                stdout=log,
                stderr=log,
            )

    def type(self, *words: str) -> str:
        """What a person types into the console's pod."""
        environment = self.environment("Deployment", "console")
        program = str(Path(PYTHON).with_name("ratchet"))
        done = subprocess.run(
            [program, *words], env=environment, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """With a model that is made in seconds."""
    new_task.create(tmp_path / "words")
    manifest = tmp_path / "words" / "task.toml"
    text = manifest.read_text()
    for old, new in TINY_SEED.items():
        text = text.replace(old, new)
    manifest.write_text(text)
    return tmp_path / "words"


@pytest.fixture
def place(tmp_path: Path, task: Path, postgres: postgres.Postgres, rclone: s3.Server) -> Iterator[Place]:
    """Broker, PostgreSQL and S3 are up; the stack's file and the boxes' say where things are here."""
    (tmp_path / "broker").mkdir()
    with ExitStack() as stack:
        broker = stack.enter_context(cluster_broker.cluster_broker(tmp_path / "broker"))
        port = s3.free_port()
        addresses = {
            "postgresql+psycopg://ratchet@postgres:5432/ratchet": postgres.create("cluster_run"),
            "redis://ratchet@broker:6379/0": broker,
            "s3:8333": rclone.endpoint.removeprefix("http://"),
            "http://model:8000": f"http://127.0.0.1:{port}",
            "0.0.0.0": "127.0.0.1",
            "/models": str(tmp_path / "models"),
            "/etc/ratchet": str(tmp_path),
            "/var/lib/ratchet": str(tmp_path / "cache"),
        }
        place = Place(tmp_path, addresses | {"8000": str(port), "trimul": str(task)})
        cluster = stack.enter_context(LocalCluster(place.documents, IMAGES))
        (tmp_path / "stack.json").write_text(place.here((ROOT / "base" / "stack.json").read_text()))
        for path in (ROOT / "base" / "boxes").glob("*.json"):
            boxes = json.loads(path.read_text()) | {"api_url": cluster.url, "must_not_reach": []}
            (tmp_path / path.name).write_text(json.dumps(boxes))
        place.cluster = cluster  # type: ignore[attr-defined]
        yield place


def test_from_the_manifests_parts_to_a_finished_run_and_its_report(place: Place, task: Path) -> None:
    place.once("Job", "migrate", "command")
    place.once("Job", "bucket", "command")
    place.once("Job", "seed-model", "trainer-service")
    kept = {f"{name}-service": f"{name}-service" for name in SERVICES} | {"model-server": "model-server"}
    running = {name: place.keep(name, target) for name, target in kept.items()}
    try:
        settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
        where = ["--stack", str(place.folder / "stack.json")]
        model = ["--set", f"model.base={place.folder / 'models' / 'seed'}", "--set", "model.name=seed"]
        place.type("run", str(task), "--name", "first", *where, *model, *settings, "--json")
        shown = json.loads(place.type("show", "first", "--json"))
        report = Path(place.type("report", "first").strip().splitlines()[-1])

        assert shown["state"] == "done", {name: log_of(place, name) for name in kept}
        assert shown["generations"][0]["gate"]["decision"] in ("promoted", "rejected")
        assert (place.folder / report).exists()
        assert {name: process.poll() for name, process in running.items()} == dict.fromkeys(kept)
    finally:
        ended = stop(running)
    assert max(ended.values()) < 60
    assert all(pod["status"]["phase"] != "Running" for pod in place.cluster.pods())  # type: ignore[attr-defined]


def stop(running: dict[str, subprocess.Popen[bytes]]) -> dict[str, float]:
    """SIGTERM, as a cluster does; the seconds that each took."""
    began, took = time.monotonic(), {}
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    for name, process in running.items():
        try:
            process.wait(80)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        took[name] = time.monotonic() - began
    return took


def log_of(place: Place, name: str) -> str:
    return (place.folder / f"{name}.log").read_text(errors="replace")[-2000:]
