"""Policies for every pod, one function a rule: it takes a Pod and yields its faults in words.

They check rendered documents, so they see whatever an overlay changes. test_policies.py plants a
bad pod for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ratchet.deploy.manifests import Pod
from shared.messages.records import JsonObject

SANDBOX = "ratchet-sandbox"
MEASURES = ("cpu", "memory", "ephemeral-storage")
SAFE_VOLUMES = (
    "configMap",
    "downwardAPI",
    "emptyDir",
    "persistentVolumeClaim",
    "projected",
    "secret",
    "ephemeral",
)
SECRET_WORDS = ("PASSWORD", "SECRET", "TOKEN", "API_KEY", "ACCESS_KEY", "BASIC_AUTH")


def host_stays_out_of_reach(pod: Pod) -> Iterator[str]:
    """No privileges, no capabilities, nothing of the host, the runtime's filter of system calls."""
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(name):
            yield f"{name} is on"
    for volume in pod.spec.get("volumes") or []:
        if not any(kind in volume for kind in SAFE_VOLUMES):
            yield f"volume {volume['name']} reaches the host: {', '.join(set(volume) - {'name'})}"
    for container in pod.containers:
        context = container.get("securityContext") or {}
        name = container["name"]
        if context.get("privileged"):
            yield f"{name} is privileged"
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{name} does not set allowPrivilegeEscalation: false"
        capabilities = context.get("capabilities") or {}
        if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
            yield f"{name} does not drop all capabilities"
        if context.get("procMount", "Default") != "Default":
            yield f"{name} unmasks /proc"
        if any(port.get("hostPort") for port in container.get("ports") or []):
            yield f"{name} takes a port of the host"
        if _effective(pod, container, "seccompProfile", {}).get("type") not in (
            "RuntimeDefault",
            "Localhost",
        ):
            yield f"{name} has no seccompProfile"


def not_root(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        if _effective(pod, container, "runAsNonRoot", False) is not True:
            yield f"{container['name']} does not set runAsNonRoot"
        if _effective(pod, container, "runAsUser", 0) == 0:
            yield f"{container['name']} runs as uid 0, or as its image's user"


def root_is_read_only(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        if (container.get("securityContext") or {}).get("readOnlyRootFilesystem") is not True:
            yield f"{container['name']} may write to its root"


def everything_is_limited(pod: Pod) -> Iterator[str]:
    """Requests and limits of all three measures, and a size for every scratch folder."""
    for container in pod.containers:
        resources = container.get("resources") or {}
        for side in ("requests", "limits"):
            missing = [name for name in MEASURES if name not in (resources.get(side) or {})]
            if missing:
                yield f"{container['name']} has no {side} of {', '.join(missing)}"
    for volume in pod.spec.get("volumes") or []:
        if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
            yield f"the scratch volume {volume['name']} has no sizeLimit"


def image_is_pinned(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        image = str(container.get("image", ""))
        tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
        if tag == "latest" or (not tag and "@sha256:" not in image):
            yield f"{container['name']} has no fixed version: {image}"


def secrets_are_referred_to(pod: Pod) -> Iterator[str]:
    """A variable that holds a secret comes from a Secret, never from the manifest."""
    for container in pod.containers:
        for variable in container.get("env") or []:
            name = variable["name"]
            if (
                "value" in variable
                and any(word in name for word in SECRET_WORDS)
                and not name.endswith("_FILE")
            ):
                yield f"{container['name']} holds the secret {name} in plain text"


def its_health_is_asked(pod: Pod) -> Iterator[str]:
    """A service has readiness and liveness probes, and time to end."""
    if pod.kind not in ("Deployment", "StatefulSet", "DaemonSet"):
        return
    for container in pod.spec.get("containers") or []:
        names = [f"{name}Probe" for name in ("startup", "readiness", "liveness")]
        missing = [name for name in names if not container.get(name)]
        if missing:
            yield f"{container['name']} has no {', '.join(missing)}"
    if pod.spec.get("terminationGracePeriodSeconds", 30) < 10:
        yield "it gets no time to end in order"


def a_box_is_a_box(pod: Pod) -> Iterator[str]:
    """What holds for pods in which programs of a model run, beyond what holds for all."""
    if pod.namespace != SANDBOX:
        return
    wanted = {"restartPolicy": "Never", "dnsPolicy": "None", "enableServiceLinks": False}
    for name, value in wanted.items():
        if pod.spec.get(name) != value:
            yield f"{name} is not {value}"
    for name in ("runtimeClassName", "activeDeadlineSeconds"):
        if not pod.spec.get(name):
            yield f"it has no {name}"
    for volume in pod.spec.get("volumes") or []:
        if "emptyDir" not in volume:
            yield f"volume {volume['name']} is no scratch folder"
    for container in pod.containers:
        if container.get("env") or container.get("envFrom"):
            yield f"{container['name']} is given variables"
        resources = container.get("resources") or {}
        if resources.get("requests") != resources.get("limits"):
            yield f"{container['name']}: requests are not limits, so its cores are not its own"


POD_POLICIES: tuple[Callable[[Pod], Iterator[str]], ...] = (
    host_stays_out_of_reach,
    not_root,
    root_is_read_only,
    everything_is_limited,
    image_is_pinned,
    secrets_are_referred_to,
    its_health_is_asked,
    a_box_is_a_box,
)


def loose_images(pods: list[Pod]) -> list[str]:
    """Images by tag alone: the registry may change what runs. A warning, no fault."""
    images = {str(container.get("image", "")) for pod in pods for container in pod.containers}
    return sorted(image for image in images if "@sha256:" not in image)


def _effective(pod: Pod, container: JsonObject, name: str, absent: Any) -> Any:
    """A setting of the container, else of its pod."""
    for context in (container.get("securityContext") or {}, pod.spec.get("securityContext") or {}):
        if name in context:
            return context[name]
    return absent
