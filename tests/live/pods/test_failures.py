"""Failures of pods alone: evicted, without an image, left by a dead owner. And the services on such boxes."""

import json
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ratchet.deploy.local_cluster import LocalCluster
from ratchet.deploy.manifests import ROOT, find_renderer, render
from sandbox_service.evaluate import Evaluator
from sandbox_service.toolchains.c.compiler import CCompiler
from shared.box.open import open_box
from shared.box.pods.box import PodBox
from shared.errors import BoxError, BoxNotWholeError, SettingsError
from shared.messages.records import Block, CandidateBatch
from shared.store.store import LocalStore
from tests.live.pods.making import IMAGES, QUICK, TASK, settings


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


def test_an_image_that_is_not_there_is_reported_with_its_reason(templates: list[dict[str, Any]]) -> None:
    with LocalCluster(templates, {}) as empty:
        with pytest.raises(BoxError, match="ErrImagePull"):
            PodBox(settings(empty)).run(["true"], limits=QUICK)
        assert empty.pods() == []


def test_a_full_quota_is_reported_and_waited_out(templates: list[dict[str, Any]]) -> None:
    with LocalCluster(templates, IMAGES, most_pods=1) as small:
        box = PodBox(settings(small))
        with box.start(["cat"], limits=QUICK), pytest.raises(BoxError, match="exceeded quota") as refused:
            box.run(["true"], limits=QUICK)
        assert refused.value.transient
        assert box.run(["true"], limits=QUICK).outcome == "ok"


def test_a_pod_that_no_node_takes_names_the_scheduler_s_reason(
    templates: list[dict[str, Any]],
) -> None:
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
def test_a_role_that_lacks_a_verb_is_reported_with_a_hint(templates: list[dict[str, Any]], lost: str) -> None:
    """So the Role in the manifests allows no more than what is needed; `delete` shows in every other test."""
    spoilt = json.loads(json.dumps(templates))
    for rule in next(found for found in spoilt if found["kind"] == "Role")["rules"]:
        if lost in rule["verbs"] and "pods" in rule["resources"]:
            rule["verbs"].remove(lost)
    with LocalCluster(spoilt, IMAGES) as cluster:
        box = PodBox(settings(cluster))
        with pytest.raises(BoxError, match=f"cannot {lost}") as refused:
            box.sweep() if lost == "list" else box.run(["true"], limits=QUICK)
    assert "makes-boxes" in refused.value.hint


def test_an_api_server_that_is_away_is_a_broken_box(cluster: LocalCluster, box: PodBox) -> None:
    with LocalCluster([], {}) as gone:
        url = gone.url
    with pytest.raises(BoxError, match="does not answer"):
        PodBox(settings(cluster, api_url=url))


def test_a_pod_whose_owner_was_killed_ends_and_is_swept_by_age(cluster: LocalCluster, box: PodBox) -> None:
    program = f"""import sys, time
from shared.box.box import Limits
from shared.box.pods.box import BoxSettings, PodBox
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


@pytest.mark.slow
def test_candidates_are_scored_in_pods_of_their_own(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox service as it stands, configured by the variable that its boxes are pods."""
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
        with pytest.raises(SettingsError, match="does not hold the settings"):
            open_box()
        where.write_text(settings(cluster).model_dump_json())
        assert isinstance(open_box(), PodBox)
    finally:
        open_box.cache_clear()


def test_outside_of_a_cluster_the_way_into_one_is_named(cluster: LocalCluster) -> None:
    with pytest.raises(BoxNotWholeError, match="no pod") as refused:
        PodBox(settings(cluster, api_url=""))

    assert refused.value.exit_code == 78
