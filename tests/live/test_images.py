"""The images without Docker: the Dockerfile and the compose file are linted, and what an image would start
is started here, as it would be there: the Dockerfile's own words, its folders, its environment.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from ratchet.deploy import secrets
from ratchet.deploy.local_pod import BARE
from shared.bus.celery_app import make_app
from shared.bus.start_checks import check_broker
from shared.config.settings import StackParts, StackSettings
from shared.ledger.ledger import Ledger
from shared.messages.routes import SERVICES
from tests.servers.cluster_broker import PASSWORD, cluster_broker

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
HADOLINT = Path(sys.executable).with_name("hadolint")
LIGHT = ("agent", "feedback", "sandbox")
STARTED_S = 60.0


def stages() -> dict[str, list[str]]:
    """The instructions of each stage, `FROM` first; a line that goes on is one."""
    found: dict[str, list[str]] = {}
    for line in re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE)).splitlines():
        if line.startswith("FROM "):
            found[line.split()[-1]] = [line]
        elif line.strip() and found:
            found[list(found)[-1]].append(line)
    return found


def lineage(name: str) -> list[str]:
    """A stage's instructions, those of what it is made from first."""
    lines = stages()[name]
    parent = lines[0].split()[1]
    return [*(lineage(parent) if parent in stages() else []), *lines]


def last(name: str, word: str) -> str:
    return [line for line in lineage(name) if line.startswith(f"{word} ")][-1].removeprefix(f"{word} ")


TARGETS = [name for name, lines in stages().items() if any(line[:4] in ("ENTR", "CMD ") for line in lines)]


def lint(text: str) -> list[str]:
    command = [HADOLINT, "--format=json", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return [found["code"] for found in json.loads(done.stdout)]


def test_the_dockerfile_passes_hadolint_which_finds_planted_faults() -> None:
    spoilt = DOCKERFILE + "\nUSER root\nRUN apt-get install -y curl\nFROM debian:latest\nRUN cd /tmp\n"

    assert lint(DOCKERFILE) == []
    assert {"DL3002", "DL3007", "DL3008", "DL3003"} <= set(lint(spoilt))


def test_there_is_a_target_for_every_service_on_the_cpu_and_those_that_use_a_gpu_with_cuda() -> None:
    services = {f"{name}-service" for name in SERVICES}

    assert services | {"model-server", "command", "box", "box-bare"} <= set(TARGETS)
    assert {"trainer-service-cuda", "model-server-cuda", "sandbox-service-cuda", "box-cuda"} <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_ends_as_an_ordinary_user_on_a_base_pinned_by_digest(target: str) -> None:
    base = re.search(r"\$\{(\w+)\}", lineage(target)[0])
    assert base is not None

    assert last(target, "USER") == "65532:65532"
    assert re.search(rf"(?m)^ARG {base[1]}=\S+:\S+@sha256:[0-9a-f]{{64}}$", DOCKERFILE)


@pytest.mark.parametrize("target", ["box", "box-bare", "box-cuda"])
def test_what_boxes_run_in_holds_no_task_and_no_service(target: str) -> None:
    copies = [line.split() for line in lineage(target) if line.startswith("COPY ") and "--from" not in line]

    assert copies
    assert all(source.startswith("shared") for line in copies for source in line[1:-1])


def test_the_bare_box_holds_the_files_that_tests_run_its_pods_from() -> None:
    copied = [
        word for line in stages()["box-bare"] if line.startswith("COPY ") for word in line.split()[1:-1]
    ]

    assert sorted(copied) == sorted(f"shared/{name}" for name in BARE)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def parse(compose: dict[str, Any]) -> None:
    import compose_spec

    text = re.sub(r'("image": "[^"@]*):[^":@/]+@', r"\1@", json.dumps(compose))  # it knows a tag or a digest
    compose_spec.PyCompose.from_json(text)


def test_the_compose_file_is_one_and_a_misspelt_key_is_found(compose: dict[str, Any]) -> None:
    parse(compose)
    with pytest.raises(ValueError, match="restrat"):
        parse({"services": {"a": {"image": "x", "restrat": "always"}}})


def test_every_container_on_one_host_has_limits_and_no_power(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name
        assert ":latest" not in service["image"], name
        assert service["image"].startswith("ratchet/") or "@sha256:" in service["image"], name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        for key, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|SECRET|ACCESS_KEY", key) or value.startswith("${"), (name, key)


def test_the_compose_file_uses_the_same_parts_as_the_cluster_does(compose: dict[str, Any]) -> None:
    for part in ("broker", "postgres", "s3"):
        assert compose["services"][part]["image"] in (ROOT / "k8s" / "base" / f"{part}.yaml").read_text()


def test_the_env_file_gives_every_variable_that_the_compose_file_asks_for(compose: dict[str, Any]) -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", (ROOT / "compose.yaml").read_text()))

    assert {line.partition("=")[0] for line in secrets.make_env().splitlines()} == asked


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL, without the password, which is where the settings look for it."""
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    with cluster_broker(tmp_path) as url:
        yield url


def test_the_cluster_s_broker_lets_its_user_work_and_no_user_administer(broker: str) -> None:
    assert check_broker(StackParts(broker_url=broker)) == []
    port = int(broker.rpartition(":")[2].partition("/")[0])
    with redis.Redis.from_url(broker, password=PASSWORD) as user:
        with pytest.raises(redis.exceptions.NoPermissionError):
            user.flushall()
        assert user.info("persistence")["aof_enabled"] == 1
    with redis.Redis(port=port, username="probe", password="probe") as probe:
        assert probe.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            probe.get("x")
    with redis.Redis(port=port) as anonymous, pytest.raises(redis.exceptions.AuthenticationError):
        anonymous.ping()


def worker(service: str, url: str, root: Path, python: Path) -> subprocess.Popen[bytes]:
    """What the image of a service starts, with the variables that its manifest sets."""
    cache = root / f"cache-{service}"
    stack = StackSettings(
        ledger_url=f"sqlite:///{root / 'ledger.sqlite'}",
        store_url=str(root / "store"),
        broker_url=url,
        cache_dir=cache,
        reconcile_s=0.5,
    )
    (root / f"{service}.json").write_text(stack.model_dump_json())
    Ledger(stack.ledger_url).create_schema()
    words = json.loads(last(f"{service}-service", "ENTRYPOINT"))
    assert words[0] == "python"
    env = {"PATH": os.environ["PATH"], "REMAP_SIGTERM": "SIGQUIT", "HOME": "/nonexistent"}
    env |= {"REDIS_PASSWORD": PASSWORD}
    with (root / f"{service}.log").open("wb") as log:
        return subprocess.Popen(
            [python, *words[1:], "--stack", str(root / f"{service}.json")],
            env={**env, "PYTHONPATH": str(root / "code")},
            cwd=root / "code",
            stdout=log,
            stderr=log,
        )


def is_fresh(root: Path, service: str) -> bool:
    probe = [str(ROOT / "docker" / "ratchet-fresh"), "60"]
    env = {**os.environ, "RATCHET_CACHE": str(root / f"cache-{service}")}
    return subprocess.run(probe, env=env, capture_output=True, check=False).returncode == 0


def assert_serves_and_ends(services: tuple[str, ...], url: str, root: Path, python: Path) -> None:
    """Each comes up, is seen by the probe and by Celery, and ends in time when a cluster asks it to."""
    running = {service: worker(service, url, root, python) for service in services}
    try:
        deadline = time.monotonic() + STARTED_S
        while not all(is_fresh(root, service) for service in services) and time.monotonic() < deadline:
            time.sleep(0.2)
        for service, process in running.items():
            assert is_fresh(root, service), (root / f"{service}.log").read_text()
            assert process.poll() is None
        settings = StackSettings.model_validate_json((root / f"{services[0]}.json").read_bytes())
        app = make_app(settings)
        answers = app.control.broadcast("ping", reply=True, timeout=30, limit=len(services))
        assert {next(iter(answer)).partition("-")[0] for answer in answers} == set(services)
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        for process in running.values():
            process.wait(40)
    finally:
        for process in running.values():
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_worker_of_the_cluster_comes_up_is_probed_and_ends_on_sigterm(broker: str, tmp_path: Path) -> None:
    (tmp_path / "code").symlink_to(ROOT)
    assert not is_fresh(tmp_path, "feedback")

    assert_serves_and_ends(("feedback",), broker, tmp_path, Path(sys.executable))


@pytest.mark.slow
def test_the_light_images_run_from_an_environment_made_by_the_same_steps(broker: str, tmp_path: Path) -> None:
    """As the Dockerfile does: the environment first, from three files; the code over it afterwards."""
    code = tmp_path / "code"
    (code / "docker").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", "README.md", "docker/venv.sh"):
        shutil.copy(ROOT / name, code / name)
    step = next(line for line in stages()["light-venv"] if line.startswith("RUN docker/venv.sh"))
    words = step.removeprefix("RUN ").replace("/opt/ratchet/", "").split()
    subprocess.run(words, cwd=code, check=True, env={**os.environ, "UV_LINK_MODE": "hardlink"})
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!") and (ROOT / line[1:]).is_dir():
            shutil.copytree(ROOT / line[1:], code / line[1:], dirs_exist_ok=True)
    python = code / ".venv" / "bin" / "python"

    assert "PYTHONPATH=/opt/ratchet" in last("command", "ENV")
    env = {**os.environ, "PYTHONPATH": str(code)}

    helped = subprocess.run([python.with_name("ratchet"), "--help"], capture_output=True, check=True, env=env)
    heavy = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)

    assert b"Commands:" in helped.stdout
    assert heavy.returncode != 0
    assert_serves_and_ends(LIGHT, broker, tmp_path, python)
