"""Boxes that are pods: the same contract as the box on this machine, over the API of the in-memory
cluster, whose pods really run. What only a pod can do (be evicted, find no image, outlive its owner) comes
after.
"""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ratchet.cluster.manifests import ROOT, find_renderer, render
from ratchet.local_cluster import LocalCluster
from sandbox_service.evaluate import Evaluator
from sandbox_service.toolchains.c_compiler import CCompiler
from shared.box import Bind, BubblewrapBox, Limits, open_box
from shared.box_cgroup import can_make_groups
from shared.box_launch import SHARED
from shared.errors import BoxError, BoxNotWholeError, SettingsError
from shared.pod_box import BoxSettings, PodBox
from shared.pod_probe import MENDS, attack_layers
from shared.pod_spec import PORT
from shared.records import Block, CandidateBatch
from shared.steps import ScaffoldFailed, ScaffoldPool
from shared.store import LocalStore
from shared.task import AttemptSection

QUICK = Limits(wall_s=20, processes=8)
IMAGES = {"ratchet/box:0.1.0": True, "ratchet/box-bare:0.1.0": False}
PYTHON = [sys.executable, "-I", "-S", "-c"]
TASK = Path(__file__).parent / "tiny_python"


@pytest.fixture(scope="module")
def templates() -> list[dict[str, Any]]:
    return render(ROOT / "overlays" / "local", find_renderer())


@pytest.fixture(scope="module")
def cluster(templates: list[dict[str, Any]]) -> Iterator[LocalCluster]:
    with LocalCluster(templates, IMAGES) as made:
        yield made


def settings(cluster: LocalCluster, **changes: Any) -> BoxSettings:
    owner = changes.pop("owner", "sandbox-service")
    found = {"namespace": "ratchet-sandbox", "owner": owner, "template": owner, "start_timeout_s": 20}
    bare = {"bare_template": "sandbox-service-bare"} if owner == "sandbox-service" else {}
    return BoxSettings.model_validate(found | bare | {"api_url": cluster.url} | changes)


@pytest.fixture(scope="module")
def box(cluster: LocalCluster) -> PodBox:
    return PodBox(settings(cluster))


@pytest.fixture(autouse=True)
def _nothing_stays(cluster: LocalCluster) -> Iterator[None]:
    yield
    assert cluster.pods() == []


def test_a_program_runs_and_its_streams_and_exit_code_come_back(box: PodBox) -> None:
    result = box.run(["sh", "-c", "cat; echo problem >&2; exit 3"], limits=QUICK, stdin=b"given" * 100_000)

    assert (result.outcome, result.exit_code) == ("crashed", 3)
    assert (result.stdout, result.stderr) == (b"given" * 100_000, b"problem\n")


def test_a_program_that_is_not_there_ends_as_in_a_shell(box: PodBox) -> None:
    assert box.run(["no-such-program"], limits=QUICK).exit_code == 127


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
    program.write_text("#!/bin/sh\necho done > /work/answer\n")
    program.chmod(0o755)
    answer.touch()
    binds = [Bind(program, "/work/program"), Bind(answer, "/work/answer", writable=True)]

    assert box.run(["/work/program"], binds=binds, limits=QUICK, python=False).outcome == "ok"
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

    assert [layer.name for layer in layers] == list(MENDS)
    assert [layer for layer in layers if not layer.ok] == []


def test_each_hole_in_a_pod_is_found(tmp_path: Path) -> None:
    """The same program where there are holes: as the user who runs this test, with a token and a variable."""
    token = tmp_path / "kubernetes.io"
    token.mkdir()
    attack = ["-I", "-S", str(SHARED / "pod_attack.py")]
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
        program = f"import pod_attack as a; print(a._network(['127.0.0.1:{port}']), a._runner('{port}'))"
        outside = subprocess.run(
            [sys.executable, "-S", "-c", f"import sys; sys.path.append({str(SHARED)!r}); {program}"],
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


def test_an_evicted_pod_is_broken_infrastructure_and_no_outcome(cluster: LocalCluster, box: PodBox) -> None:
    def evict_soon() -> None:
        while not (running := [pod for pod in cluster.pods() if pod["status"]["phase"] == "Running"]):
            time.sleep(0.02)
        time.sleep(0.3)
        cluster.evict(running[0]["metadata"]["name"])

    threading.Thread(target=evict_soon, daemon=True).start()

    with pytest.raises(BoxError, match="Evicted") as taken:
        box.run(["sleep", "20"], limits=QUICK)

    assert taken.value.transient


def test_a_warm_pod_that_is_evicted_is_no_exit_of_its_program(cluster: LocalCluster, box: PodBox) -> None:
    with box.start(["cat"], limits=QUICK) as process:
        cluster.evict(cluster.pods()[0]["metadata"]["name"])

        with pytest.raises(BoxError, match="Evicted"):
            process.wait(10)


def test_an_image_that_is_not_there_is_told_with_its_reason(templates: list[dict[str, Any]]) -> None:
    with LocalCluster(templates, {}) as empty:
        with pytest.raises(BoxError, match="ErrImagePull"):
            PodBox(settings(empty)).run(["true"], limits=QUICK)
        assert empty.pods() == []


def test_a_full_quota_is_told_and_waited_out(templates: list[dict[str, Any]]) -> None:
    with LocalCluster(templates, IMAGES, most_pods=1) as small:
        box = PodBox(settings(small))
        with box.start(["cat"], limits=QUICK), pytest.raises(BoxError, match="exceeded quota") as refused:
            box.run(["true"], limits=QUICK)
        assert refused.value.transient
        assert box.run(["true"], limits=QUICK).outcome == "ok"


def test_a_pod_that_no_node_takes_is_told_with_the_scheduler_s_words(templates: list[dict[str, Any]]) -> None:
    gpu = render(ROOT / "overlays" / "gpu", find_renderer())
    with LocalCluster(gpu, IMAGES) as cluster:
        with pytest.raises(BoxError, match="node selector"):
            PodBox(settings(cluster, start_timeout_s=0.5)).run(["true"], limits=QUICK)
        assert cluster.pods() == []


def test_a_template_that_is_not_restricted_makes_no_pod(templates: list[dict[str, Any]]) -> None:
    spoilt = json.loads(json.dumps(templates))
    for found in spoilt:
        if found["kind"] == "PodTemplate":
            found["template"]["spec"]["containers"][0]["securityContext"]["privileged"] = True
    with LocalCluster(spoilt, IMAGES) as cluster, pytest.raises(BoxError, match="violates PodSecurity"):
        PodBox(settings(cluster)).run(["true"], limits=QUICK)


@pytest.mark.parametrize("lost", ["create", "get", "list"])
def test_a_role_that_lacks_a_verb_is_told_with_its_mend(templates: list[dict[str, Any]], lost: str) -> None:
    """So the Role in the manifests allows no more than what is needed; `delete` shows in every other test."""
    spoilt = json.loads(json.dumps(templates))
    for rule in next(found for found in spoilt if found["kind"] == "Role")["rules"]:
        if lost in rule["verbs"] and "pods" in rule["resources"]:
            rule["verbs"].remove(lost)
    with LocalCluster(spoilt, IMAGES) as cluster:
        box = PodBox(settings(cluster))
        with pytest.raises(BoxError, match=f"cannot {lost}") as refused:
            box.sweep() if lost == "list" else box.run(["true"], limits=QUICK)
    assert "makes-boxes" in refused.value.mend


def test_an_api_server_that_is_away_is_a_broken_box(cluster: LocalCluster, box: PodBox) -> None:
    with LocalCluster([], {}) as gone:
        url = gone.url
    with pytest.raises(BoxError, match="does not answer"):
        PodBox(settings(cluster, api_url=url))


def test_a_pod_whose_owner_was_killed_ends_and_is_swept_by_age(cluster: LocalCluster, box: PodBox) -> None:
    program = f"""import sys, time
from shared.box import Limits
from shared.pod_box import BoxSettings, PodBox
box = PodBox(BoxSettings.model_validate_json({settings(cluster).model_dump_json()!r}))
process = box.start(["sh", "-c", "echo up; sleep 600"], limits=Limits())
print(process.stdout.read(2), flush=True)
time.sleep(600)"""
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        owner.stdout.readline()
    owner.send_signal(signal.SIGKILL)
    owner.wait()

    deadline = time.monotonic() + 20
    while (phase := cluster.pods()[0]["status"]["phase"]) == "Running" and time.monotonic() < deadline:
        time.sleep(0.02)

    assert phase in ("Succeeded", "Failed")
    assert box.sweep() == []
    assert len(box.sweep(datetime.now(UTC) + timedelta(seconds=90))) == 1


def test_candidates_are_scored_in_pods_of_their_own(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox service as it stands, told by the variable that its boxes are pods."""
    where = tmp_path / "boxes.json"
    where.write_text(settings(cluster).model_dump_json())
    monkeypatch.setenv("RATCHET_BOXES", str(where))
    head = "import numpy as np\ndef smooth(noisy, neighbours, sigma):\n    "
    leave = "import os; os.unlink('/candidate/outputs')\n    os.symlink('/etc/passwd', '/candidate/outputs')"
    bodies = ["return neighbours @ noisy / neighbours.sum(1)", f"{leave}; os._exit(0)", "return noisy[:5]"]
    entries = tuple((str(index), head + body) for index, body in enumerate(bodies))
    block = Block(instance={"id": "one", "n": 400}, entries=entries)
    batch = CandidateBatch(task=str(TASK), check="public", fresh=True, blocks=(block,))
    evaluator = Evaluator(LocalStore(tmp_path / "store"), tmp_path / "cache")
    try:
        scores = evaluator.evaluate(batch)
    finally:
        evaluator.close()

    assert [found.outcome for found in scores.blocks[0]] == ["ok", "no_output", "wrong"]


def test_c_is_compiled_in_a_pod_without_our_environment(box: PodBox, tmp_path: Path) -> None:
    good, bad = "int kernel(void) { return 0; }", '#include "/etc/shadow"'
    call = "int kernel(void); static void call(void **in, void **out) { kernel(); }"

    made = CCompiler(box, tmp_path).libraries([good, bad], call, ["-O1"])

    assert made[good].path is not None, made[good].error
    assert made[bad].path is None


def test_the_setting_decides_where_boxes_are_made(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = tmp_path / "boxes.json"
    open_box.cache_clear()
    try:
        monkeypatch.setenv("RATCHET_BOXES", str(where))
        with pytest.raises(SettingsError, match="does not say how"):
            open_box()
        where.write_text(settings(cluster).model_dump_json())
        assert isinstance(open_box(), PodBox)
    finally:
        open_box.cache_clear()


def test_outside_of_a_cluster_the_way_into_one_is_named(cluster: LocalCluster) -> None:
    with pytest.raises(BoxNotWholeError, match="no pod") as refused:
        PodBox(settings(cluster, api_url=""))

    assert refused.value.exit_code == 78
