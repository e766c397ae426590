"""Boxes that are pods: the contract of the box on this machine, over the API of the in-memory cluster."""

import hashlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ratchet.deploy.local_cluster import LocalCluster
from shared.box.box import Bind, Limits
from shared.box.bubblewrap.box import BubblewrapBox
from shared.box.bubblewrap.cgroup import can_make_groups
from shared.box.pods import inside
from shared.box.pods.box import PodBox
from shared.box.pods.inside import wire
from shared.box.pods.probe import HINTS, attack_layers
from shared.box.pods.spec import PORT, address_of, end_of, pod_of
from shared.errors import BoxError
from shared.harness.steps import ScaffoldFailed, ScaffoldPool
from shared.tasks.task import AttemptSection
from tests.live.pods.making import PYTHON, QUICK, settings

INSIDE = Path(inside.__file__).parent


def test_a_program_runs_and_its_streams_and_exit_code_come_back(box: PodBox) -> None:
    result = box.run(["sh", "-c", "cat; echo problem >&2; exit 3"], limits=QUICK, stdin=b"given" * 100_000)

    assert (result.outcome, result.exit_code) == ("crashed", 3)
    assert (result.stdout, result.stderr) == (b"given" * 100_000, b"problem\n")


def test_a_program_that_is_not_there_ends_as_in_a_shell(box: PodBox) -> None:
    assert box.run(["no-such-program"], limits=QUICK).exit_code == 127


def test_input_that_a_program_does_not_read_costs_nothing_of_what_it_says(box: PodBox) -> None:
    for command, code in ((["echo", "said"], 0), (["no-such-program"], 127)):
        result = box.run(command, limits=QUICK, stdin=bytes(8 << 20))

        assert (result.outcome == "ok", result.exit_code) == (code == 0, code)
        assert result.stdout == (b"said\n" if code == 0 else b"")


def test_the_environment_holds_only_what_the_box_sets(box: PodBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")

    seen = box.run(["cat", "/proc/self/environ"], limits=QUICK, env={"OMP_NUM_THREADS": "2"})

    names = {item.partition(b"=")[0] for item in seen.stdout.split(b"\0") if item}
    assert names == {b"PATH", b"HOME", b"LANG", b"PYTHONHASHSEED", b"OMP_NUM_THREADS"}


def test_what_is_written_comes_back_and_what_is_given_stays_as_it_was(box: PodBox, tmp_path: Path) -> None:
    given, taken = tmp_path / "given", tmp_path / "taken"
    (given / "deep").mkdir(parents=True)
    taken.mkdir()
    (given / "deep" / "input").write_text("from outside")
    script = (
        "cp /given/deep/input /taken/output; cd /taken; mkdir a; echo x > a/b; echo y > /given/deep/input"
    )
    binds = [Bind(given, "/given"), Bind(taken, "/taken", writable=True)]

    result = box.run(["sh", "-c", script], binds=binds, limits=QUICK)

    assert (taken / "output").read_text() == "from outside"
    assert (taken / "a" / "b").read_text() == "x\n"
    assert result.outcome == "crashed"
    assert (given / "deep" / "input").read_text() == "from outside"


def test_links_and_pipes_that_a_program_leaves_do_not_come_back(box: PodBox, tmp_path: Path) -> None:
    script = "cd /out; ln -s /etc/passwd link; mkfifo pipe; mkdir way; ln -s / way/out; echo 1 > plain"

    box.run(["sh", "-c", script], binds=[Bind(tmp_path, "/out", writable=True)], limits=QUICK)

    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["plain", "way"]


def test_a_single_file_can_be_bound_and_a_program_can_be_one(box: PodBox, tmp_path: Path) -> None:
    program, answer = tmp_path / "program", tmp_path / "answer"
    program.write_text("#!/bin/sh\necho done > /given/answer\n")
    program.chmod(0o755)
    answer.touch()
    binds = [Bind(program, "/given/program"), Bind(answer, "/given/answer", writable=True)]

    assert box.run(["/given/program"], binds=binds, limits=QUICK, python=False).outcome == "ok"
    assert answer.read_text() == "done\n"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"binds": [Bind(Path("/no/such/folder"), "/x")]}, "no /no/such/folder"),
        ({"binds": [Bind(Path(__file__), "/file")]}, "no place below a folder"),
        ({"cwd": "/no/such/folder"}, "no folder /no/such/folder"),
    ],
)
def test_a_box_that_can_not_be_readied_is_a_broken_box(
    box: PodBox, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BoxError, match=reason):
        box.run(["true"], limits=QUICK, **options)


@pytest.mark.parametrize(
    ("program", "limits", "outcome"),
    [
        ("import time; time.sleep(60)", Limits(wall_s=0.5), "timeout"),
        ("import os; os.close(1); os.close(2)\nwhile 1: os.getpid()", Limits(wall_s=0.5), "timeout"),
        ("while True: pass", Limits(wall_s=20, cpu_s=1), "timeout"),
        ("while True: print('x' * 1000)", Limits(wall_s=20), "over_limit"),
        ("open('/tmp/a', 'wb').write(bytes(3 << 20))", Limits(wall_s=20, file_mb=2), "crashed"),
        ("x = bytearray(1 << 30)", Limits(wall_s=20, memory_mb=200), "crashed"),
        ("import os\nwhile True: os.fork()", Limits(wall_s=20, processes=4), "crashed"),
        ("import os\nos.fork() or os.setsid() or __import__('time').sleep(60)", Limits(wall_s=20), "ok"),
    ],
    ids=["sleeps", "closes streams", "loops", "prints", "fills the disk", "eats", "forks", "a daemon"],
)
def test_a_limit_ends_a_program(box: PodBox, program: str, limits: Limits, outcome: str) -> None:
    assert box.run([*PYTHON, program], limits=limits).outcome == outcome


@pytest.mark.skipif(not can_make_groups(), reason="this machine lets us make no control groups")
def test_processes_that_together_eat_more_than_the_pod_may_are_over_the_limit(box: PodBox) -> None:
    hoard = "import os, time\nfor _ in range(6): os.fork()\nx = bytearray(100 << 20); time.sleep(20)"

    result = box.run([*PYTHON, hoard], limits=Limits(wall_s=20, memory_mb=150, processes=80, file_mb=1))

    assert result.outcome == "over_limit"


def test_a_started_program_talks_over_its_pipes_until_it_is_killed(box: PodBox) -> None:
    with box.start(["cat"], limits=QUICK) as process:
        process.stdin.write(b"ping")
        assert process.stdout.read(4) == b"ping"
        assert process.wait(0) is None
        process.kill()
        assert not process.alive()


def test_a_started_program_that_ends_tells_its_exit_code(box: PodBox) -> None:
    with box.start(["sh", "-c", "echo why >&2; exit 5"], limits=QUICK) as process:
        assert process.wait(20) == 5
        assert process.stderr_tail() == "why\n"


def test_a_scaffold_keeps_its_pod_from_step_to_step_and_loses_it_with_a_bad_one(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    (tmp_path / "scaffold.py").write_text(
        "def step(instance, history, knobs, context):\n"
        "    while instance['loops']: pass\n"
        "    return {'answer': {'content': instance['id']}}\n"
    )
    limits = AttemptSection(step_s=2.0, step_memory_mb=256)

    def step(pool: ScaffoldPool, name: str, loops: bool = False) -> str:
        instance, context = {"id": name, "loops": loops}, {"seed": 1}
        payload = {"instance": instance, "history": [], "knobs": {}, "context": context}
        content: str = pool.step("digest", tmp_path, payload, limits)["answer"]["content"]
        return content

    def names() -> list[str]:
        return [pod["metadata"]["name"] for pod in cluster.pods()]

    with ScaffoldPool(PodBox(settings(cluster, owner="agent-service"))) as pool:
        assert step(pool, "one") == "one"
        first = names()
        assert step(pool, "two") == "two"
        assert names() == first
        assert cluster.pods()[0]["metadata"]["labels"]["ratchet/owner"] == "agent-service"
        with pytest.raises(ScaffoldFailed, match="longer than 2 s"):
            step(pool, "three", loops=True)
        assert step(pool, "four") == "four"
        assert len(names()) == 1
        assert names() != first


def test_a_pod_holds_when_attacked_from_inside(cluster: LocalCluster, box: PodBox) -> None:
    layers = attack_layers(box, [cluster.url.removeprefix("http://")])

    assert [layer.name for layer in layers] == list(HINTS)
    assert [layer for layer in layers if not layer.ok] == []


def test_each_hole_in_a_pod_is_found(tmp_path: Path) -> None:
    """The same program where there are holes: as the user who runs this test, with a token and a variable."""
    token = tmp_path / "kubernetes.io"
    token.mkdir()
    attack = ["-I", "-S", str(INSIDE / "attack.py")]
    inside = BubblewrapBox().run(
        [sys.executable, *attack, str(PORT)],
        binds=[Bind(token, "/var/run/secrets/kubernetes.io"), Bind(tmp_path, "/etc/held", writable=True)],
        env={"BROKER_PASSWORD": "x"},
        limits=QUICK,
    )
    met = json.loads(inside.stdout)

    assert "kubernetes.io is there" in met["token"]
    assert met["environment"] == "BROKER_PASSWORD"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        program = f"import attack as a; print(a._network(['127.0.0.1:{port}']), a._runner('{port}'))"
        outside = subprocess.run(
            [sys.executable, "-S", "-c", f"import sys; sys.path.append({str(INSIDE)!r}); {program}"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert f"it reaches 127.0.0.1:{port}" in outside.stdout
    assert "can be" in outside.stdout


def test_the_port_of_a_pod_takes_one_connection(cluster: LocalCluster, box: PodBox) -> None:
    with box.start(["cat"], limits=QUICK) as process:
        process.stdin.write(b"taken")
        assert process.stdout.read(5) == b"taken"
        address = cluster.pods()[0]["status"]["podIP"]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, PORT), timeout=5)
        process.stdin.write(b"still here")
        assert process.stdout.read(10) == b"still here"


def test_a_connection_with_a_wrong_token_ends_the_pod_and_runs_nothing(
    cluster: LocalCluster, box: PodBox, tmp_path: Path
) -> None:
    """A connection without the token gets no answer and ends the pod; the service makes another one."""
    digest = hashlib.sha256(b"the token").hexdigest()
    command = [sys.executable, "-I", "-S", "-B", str(INSIDE / "runner.py"), str(PORT), digest, "20"]
    made = box.api.create(pod_of(box.api.template("sandbox-service"), command, [], QUICK, 60))
    name = made["metadata"]["name"]
    try:
        while not (address := address_of(box.api.get(name) or {})):
            time.sleep(0.02)
        with socket.create_connection((address, PORT), timeout=10) as intruder:
            order = {"token": "another", "argv": ["true"], "binds": []}
            wire.send(intruder, wire.HELLO, json.dumps(order).encode())
            assert wire.receive(intruder) is None
        while end_of(box.api.get(name)) == "running":
            time.sleep(0.02)
        assert "a connection with a wrong token" in box.api.log(name)
    finally:
        box.api.delete(name)
