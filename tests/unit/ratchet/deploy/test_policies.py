"""The manifests as they render, and the rules: each planted fault is found, and by the rule that is meant
for it.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ratchet.deploy import checking, manifests, schema
from ratchet.deploy.manifests import find_renderer, render

STACKS = ("gpu", "local")  # of all services
OVERLAYS = (*STACKS, "training")
Document = dict[str, Any]


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Document]]:
    renderer = find_renderer()
    print(f"rendered by {renderer.name}")
    return {name: render(manifests.ROOT / "overlays" / name, renderer) for name in OVERLAYS}


@pytest.fixture
def documents(rendered: dict[str, list[Document]]) -> list[Document]:
    """The overlay `local`, to be spoilt."""
    return copy.deepcopy(rendered["local"])


def find(documents: list[Document], kind: str, name: str, namespace: str = "ratchet") -> Document:
    return next(
        found
        for found in documents
        if found["kind"] == kind
        and found["metadata"]["name"] == name
        and found["metadata"].get("namespace", namespace) == namespace
    )


def spec_of(documents: list[Document], name: str = "feedback-service") -> Document:
    spec: Document = find(documents, "Deployment", name)["spec"]["template"]["spec"]
    return spec


def box_of(documents: list[Document]) -> Document:
    spec: Document = find(documents, "PodTemplate", "sandbox-service", "ratchet-sandbox")["template"]["spec"]
    return spec


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_passes_strict_schemas_and_every_policy(
    rendered: dict[str, list[Document]], overlay: str
) -> None:
    assert checking.faults(rendered[overlay]) == []


@pytest.mark.parametrize("overlay", STACKS)
def test_each_service_has_a_workload_named_as_its_package(
    rendered: dict[str, list[Document]], overlay: str
) -> None:
    packages = {
        found["metadata"]["labels"].get("ratchet/package"): found["metadata"]["name"]
        for found in manifests.of_kind(rendered[overlay], "Deployment")
    }
    for package in ("agent_service", "feedback_service", "sandbox_service", "trainer_service"):
        assert packages[package] == package.replace("_", "-")


def container(change: Document) -> Callable[[list[Document]], None]:
    return lambda documents: spec_of(documents)["containers"][0].update(change)


def context(change: Document) -> Callable[[list[Document]], None]:
    return lambda documents: spec_of(documents)["containers"][0]["securityContext"].update(change)


def pod(change: Document) -> Callable[[list[Document]], None]:
    return lambda documents: spec_of(documents).update(change)


def box(change: Document) -> Callable[[list[Document]], None]:
    return lambda documents: box_of(documents).update(change)


def policy(name: str, change: Document, namespace: str = "ratchet") -> Callable[[list[Document]], None]:
    return lambda documents: find(documents, "NetworkPolicy", name, namespace)["spec"].update(change)


def added(document: Document) -> Callable[[list[Document]], None]:
    return lambda documents: documents.append(document)


def role(change: Document) -> Callable[[list[Document]], None]:
    return lambda documents: find(documents, "Role", "makes-boxes", "ratchet-sandbox")["rules"].append(change)


HOST = "host_stays_out_of_reach"
PORT = [{"port": 53, "protocol": "UDP"}]
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ratchet", "namespace": "ratchet"}}
INIT = {"initContainers": [{"name": "first", "image": "x:1", "securityContext": {"privileged": True}}]}
PLANTED = {
    "privileged": (HOST, context({"privileged": True})),
    "privileged in an init container": (HOST, pod(INIT)),
    "may escalate": (HOST, context({"allowPrivilegeEscalation": True})),
    "a capability": (HOST, context({"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}})),
    "keeps capabilities": (HOST, context({"capabilities": {}})),
    "unmasked /proc": (HOST, context({"procMount": "Unmasked"})),
    "no seccomp": (HOST, context({"seccompProfile": {"type": "Unconfined"}})),
    "host network": (HOST, pod({"hostNetwork": True})),
    "host processes": (HOST, pod({"hostPID": True})),
    "host folder": (HOST, pod({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]})),
    "host port": (HOST, container({"ports": [{"containerPort": 1, "hostPort": 1}]})),
    "root": ("not_root", context({"runAsUser": 0})),
    "the image's own user": ("not_root", pod({"securityContext": {"runAsNonRoot": True}})),
    "root allowed": ("not_root", context({"runAsNonRoot": False})),
    "writable root": ("root_is_read_only", context({"readOnlyRootFilesystem": False})),
    "no limits": ("everything_is_limited", container({"resources": {}})),
    "endless scratch": ("everything_is_limited", pod({"volumes": [{"name": "v", "emptyDir": {}}]})),
    "latest": ("image_is_pinned", container({"image": "registry.example/ratchet:latest"})),
    "no tag": ("image_is_pinned", container({"image": "registry.example:5000/ratchet"})),
    "secret in sight": (
        "secrets_are_referred_to",
        container({"env": [{"name": "PGPASSWORD", "value": "x"}]}),
    ),
    "no probes": ("its_health_is_asked", container({"livenessProbe": None})),
    "no time to end": ("its_health_is_asked", pod({"terminationGracePeriodSeconds": 0})),
    "box restarts": ("a_box_is_a_box", box({"restartPolicy": "Always"})),
    "box without a runtime class": ("a_box_is_a_box", box({"runtimeClassName": None})),
    "box without a deadline": ("a_box_is_a_box", box({"activeDeadlineSeconds": None})),
    "box that asks for names": ("a_box_is_a_box", box({"dnsPolicy": "ClusterFirst"})),
    "box with a volume": (
        "a_box_is_a_box",
        box({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]}),
    ),
    "token mounted": ("tokens_are_for_those_with_a_role", pod({"automountServiceAccountToken": True})),
    "token by absence": ("tokens_are_for_those_with_a_role", pod({"automountServiceAccountToken": None})),
    "token in a box": ("tokens_are_for_those_with_a_role", box({"automountServiceAccountToken": True})),
    "token projected": (
        "tokens_are_for_those_with_a_role",
        pod({"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
    ),
    "default account": ("tokens_are_for_those_with_a_role", pod({"serviceAccountName": "default"})),
    "exec": ("roles_are_small", role({"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]})),
    "everything": ("roles_are_small", role({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})),
    "cluster role": ("roles_are_small", added({"kind": "ClusterRole", "metadata": {"name": "x"}})),
    "open egress": ("network_is_opened_narrowly", policy("names", {"egress": [{}]})),
    "egress to the world": (
        "network_is_opened_narrowly",
        policy("names", {"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": PORT}]}),
    ),
    "egress to every namespace": (
        "network_is_opened_narrowly",
        policy("names", {"egress": [{"to": [{"namespaceSelector": {}}], "ports": PORT}]}),
    ),
    "ingress from every pod": (
        "network_is_opened_narrowly",
        policy("broker", {"ingress": [{"ports": PORT}]}),
    ),
    "every port": (
        "network_is_opened_narrowly",
        policy("broker", {"ingress": [{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}]}),
    ),
    "box let out": (
        "network_is_opened_narrowly",
        policy(
            "of-agent-service",
            {"egress": [{"to": [{"podSelector": {"matchLabels": {"a": "b"}}}], "ports": PORT}]},
            "ratchet-sandbox",
        ),
    ),
    "not closed": ("nothing_may_talk_by_default", policy("nothing", {"policyTypes": ["Ingress"]})),
    "boxes not closed": (
        "nothing_may_talk_by_default",
        policy("nothing", {"policyTypes": ["Ingress"]}, "ratchet-sandbox"),
    ),
    "namespace not restricted": (
        "namespaces_are_restricted",
        lambda documents: find(documents, "Namespace", "ratchet")["metadata"].update(labels={}),
    ),
    "secret in the manifests": ("no_secret_is_written_down", added(SECRET)),
    "password in a URL": (
        "no_secret_is_written_down",
        added(
            {
                "kind": "ConfigMap",
                "metadata": {"name": "c"},
                "data": {"u": "redis://ratchet:pw@broker:6379/0"},
            }
        ),
    ),
    "a claim that is not there": (
        "names_lead_somewhere",
        pod({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "nowhere"}}]}),
    ),
    "a key that is not made": (
        "names_lead_somewhere",
        container(
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "ratchet", "key": "typo"}}}]}
        ),
    ),
    "a rule for no pod": (
        "names_lead_somewhere",
        policy("broker", {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "brocker"}}}),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(documents: list[Document], name: str) -> None:
    rule, spoil = PLANTED[name]

    spoil(documents)

    assert rule in {finding.rule for finding in checking.policy_faults(documents)}


@pytest.mark.parametrize(
    ("change", "fault_text"),
    [({"replics": 2}, "replics"), ({"replicas": "two"}, "two"), ({"template": {"spec": {}}}, "containers")],
)
def test_a_misspelt_or_mistyped_field_is_found_by_the_schemas(
    documents: list[Document], change: Document, fault_text: str
) -> None:
    deployment = find(documents, "Deployment", "feedback-service")
    deployment["spec"].update(change)

    found = list(schema.faults([deployment]))

    assert len(found) == len(schema.VERSIONS)
    assert all(fault_text in fault for fault in found)


def test_a_kind_without_a_schema_is_a_fault() -> None:
    scaler = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "x"}, "spec": {}}

    assert "schema" in next(iter(schema.faults([scaler])))


def test_without_kubectl_another_renderer_gives_the_same_documents(
    rendered: dict[str, list[Document]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    other = find_renderer()

    assert other.argv[0] != "/usr/bin/kubectl"
    assert render(manifests.ROOT / "overlays" / "local", other) == rendered["local"]


def test_an_overlay_that_does_not_render_says_why(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [nowhere.yaml]\n")

    with pytest.raises(manifests.RenderError, match=r"nowhere\.yaml"):
        render(tmp_path, find_renderer())
