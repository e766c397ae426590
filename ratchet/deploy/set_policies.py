"""Policies across documents: network traffic, tokens and their permissions, and that every name that a
document refers to exists. One function a rule, over all documents of an overlay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from ratchet.deploy.manifests import Pod, name_of, of_kind, pods_of
from ratchet.deploy.pod_policies import SANDBOX
from ratchet.deploy.secrets import SECRETS
from shared.messages.records import JsonObject

Documents = Sequence[JsonObject]
EVERYWHERE = ("0.0.0.0/0", "::/0")
DANGEROUS = (
    "pods/exec",
    "pods/attach",
    "pods/ephemeralcontainers",
    "secrets",
    "serviceaccounts/token",
    "nodes",
    "*",
)
PASSWORD_IN_URL = re.compile(r"://[^/\s:@\"]*:[^/\s@\"]+@")


def namespaces_are_restricted(documents: Documents) -> Iterator[str]:
    known = {found["metadata"]["name"]: found for found in of_kind(documents, "Namespace")}
    for name in sorted({pod.namespace for pod in pods_of(documents)}):
        labels = (known.get(name) or {"metadata": {}})["metadata"].get("labels") or {}
        if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"namespace {name} does not enforce restricted pods"


def nothing_may_talk_by_default(documents: Documents) -> Iterator[str]:
    closed = {
        policy["metadata"].get("namespace")
        for policy in of_kind(documents, "NetworkPolicy")
        if policy["spec"].get("podSelector") == {}
        and set(policy["spec"].get("policyTypes") or []) == {"Ingress", "Egress"}
        and not policy["spec"].get("ingress")
        and not policy["spec"].get("egress")
    }
    for name in sorted({pod.namespace for pod in pods_of(documents)} - closed):
        yield f"namespace {name} has no NetworkPolicy that closes both directions"


def network_is_opened_narrowly(documents: Documents) -> Iterator[str]:
    """Every rule names peers and ports, no pod may reach every address, and a box may reach none."""
    for policy in of_kind(documents, "NetworkPolicy"):
        spec = policy["spec"]
        if policy["metadata"].get("namespace") == SANDBOX and spec.get("egress"):
            yield f"{name_of(policy)} lets boxes out"
        for side, peers_of in (("egress", "to"), ("ingress", "from")):
            for rule in spec.get(side) or []:
                if not rule.get("ports"):
                    yield f"{name_of(policy)}: {side} on every port"
                if not rule.get(peers_of):
                    yield f"{name_of(policy)}: {side} with every pod"
                for peer in rule.get(peers_of) or []:
                    if peer.get("ipBlock", {}).get("cidr") in EVERYWHERE or not any(peer.values()):
                        yield f"{name_of(policy)}: {side} with every address"


def tokens_are_for_those_with_a_role(documents: Documents) -> Iterator[str]:
    """A token lies only in pods whose account a RoleBinding names; no pod takes the account `default`."""
    bound = {
        (subject.get("namespace"), subject["name"])
        for binding in of_kind(documents, "RoleBinding")
        for subject in binding.get("subjects") or []
    }
    for pod in pods_of(documents):
        account = pod.spec.get("serviceAccountName", "default")
        projected = any(
            "serviceAccountToken" in source
            for volume in pod.spec.get("volumes") or []
            for source in (volume.get("projected") or {}).get("sources") or []
        )
        mounted = pod.spec.get("automountServiceAccountToken") is not False or projected
        if account == "default":
            yield f"{pod} runs as the account `default`"
        if mounted and ((pod.namespace, account) not in bound or pod.namespace == SANDBOX):
            yield f"{pod} holds a token that it has no use for"


def roles_are_small(documents: Documents) -> Iterator[str]:
    for role in of_kind(documents, "ClusterRole", "ClusterRoleBinding"):
        yield f"{name_of(role)} reaches beyond its namespace"
    for role in of_kind(documents, "Role"):
        if role["metadata"].get("namespace") != SANDBOX:
            yield f"{name_of(role)} gives power outside of the sandbox's namespace"
        for rule in role.get("rules") or []:
            granted = {*rule.get("resources", ()), *rule.get("verbs", ()), *rule.get("apiGroups", ())}
            for word in sorted(granted.intersection(DANGEROUS)):
                yield f"{name_of(role)} allows {word}"


def no_secret_is_written_down(documents: Documents) -> Iterator[str]:
    for secret in of_kind(documents, "Secret"):
        yield f"{name_of(secret)} lies in the manifests"
    for config in of_kind(documents, "ConfigMap"):
        for key, text in (config.get("data") or {}).items():
            if PASSWORD_IN_URL.search(text):
                yield f"{name_of(config)}: {key} holds a password in a URL"


def names_lead_somewhere(documents: Documents) -> Iterator[str]:
    """Accounts, ConfigMaps, claims, Secrets and their keys, and what selectors select: all there."""
    there = {
        (found["kind"], found["metadata"].get("namespace"), found["metadata"]["name"]) for found in documents
    }
    pods = pods_of(documents)
    for pod in pods:
        for kind, name in _wanted(pod):
            if (kind, pod.namespace, name) not in there:
                yield f"{pod} needs the {kind} {name}, which is not there"
        for secret, key in _wanted_secrets(pod):
            if key not in SECRETS.get(secret, ()):
                yield f"{pod} needs {key} of the Secret {secret}: `ratchet deploy --secrets` does not make it"
    for document in of_kind(documents, "NetworkPolicy", "Service", "PodDisruptionBudget"):
        space, spec = document["metadata"].get("namespace"), document["spec"]
        selector = spec.get("selector") or spec.get("podSelector") or {}
        labels = selector if document["kind"] == "Service" else selector.get("matchLabels") or {}
        if not any(pod.namespace == space and labels.items() <= pod.labels.items() for pod in pods):
            yield f"{name_of(document)} selects no pod"


SET_POLICIES: tuple[Callable[[Documents], Iterator[str]], ...] = (
    namespaces_are_restricted,
    nothing_may_talk_by_default,
    network_is_opened_narrowly,
    tokens_are_for_those_with_a_role,
    roles_are_small,
    no_secret_is_written_down,
    names_lead_somewhere,
)


def _wanted(pod: Pod) -> Iterator[tuple[str, str]]:
    yield "ServiceAccount", pod.spec.get("serviceAccountName", "default")
    for volume in pod.spec.get("volumes") or []:
        sources = [volume, *(volume.get("projected") or {}).get("sources", ())]
        for source in sources:
            if "configMap" in source:
                yield "ConfigMap", source["configMap"]["name"]
            if "persistentVolumeClaim" in source:
                yield "PersistentVolumeClaim", source["persistentVolumeClaim"]["claimName"]


def _wanted_secrets(pod: Pod) -> Iterator[tuple[str, str]]:
    for volume in pod.spec.get("volumes") or []:
        if "secret" in volume:
            for item in volume["secret"].get("items") or [{"key": "*"}]:
                yield volume["secret"]["secretName"], item["key"]
    for container in pod.containers:
        for variable in container.get("env") or []:
            found = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if found and not found.get("optional"):
                yield found["name"], found["key"]
