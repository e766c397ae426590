"""A box's pod, from the cluster's template: what the service sets in it, and how its end is read.

Pure functions over plain JSON; api.py talks to the cluster, box.py puts both together.
"""

from __future__ import annotations

import copy
import math
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from shared.box.box import FIRST_UID, Bind, Limits
from shared.errors import BoxError
from shared.messages.records import JsonObject

PORT = 7000
LABEL = "app.kubernetes.io/component=box"
RUNNER_MB = 64  # the runner, and what it holds while it packs
DEADLINE_GRACE_S = 60  # the runner keeps the wall clock; this only ends a pod whose runner can't
SCRATCH = ("/tmp", "/dev/shm")
BROKEN_START = (  # states of a container that waiting does not end within a box's patience
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
)
End = Literal["out of memory", "deadline", "ended", "running"]


def pod_of(
    template: JsonObject,
    command: Sequence[str],
    binds: Sequence[Bind],
    limits: Limits,
    lifetime_s: float,
    cpus: int = 0,
) -> JsonObject:
    """The pod that runs `command`; it carries a folder for each bind, and is ended after `lifetime_s`.
    `cpus` 0: as many as the template sets."""
    pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(template)}
    pod.setdefault("metadata", {})["generateName"] = "box-"
    spec = pod["spec"]
    spec["activeDeadlineSeconds"] = math.ceil(lifetime_s)
    uid = FIRST_UID + secrets.randbelow(1_000_000_000)  # its processes are counted apart from all others'
    spec["securityContext"].update(runAsUser=uid, runAsGroup=uid, fsGroup=uid)
    box = spec["containers"][0]
    box["command"], box["args"] = list(command), []
    _give_memory(box, binds, limits)
    if cpus:
        for side in ("requests", "limits"):
            box["resources"][side]["cpu"] = str(cpus)
    _size_scratch(spec, limits)
    for index, (folder, size_mb) in enumerate(sorted(_folders(binds, limits).items())):
        volume = {"name": f"bind-{index}", "emptyDir": {"medium": "Memory", "sizeLimit": f"{size_mb}Mi"}}
        spec["volumes"].append(volume)
        box["volumeMounts"].append({"name": f"bind-{index}", "mountPath": folder})
    return pod


def _give_memory(box: JsonObject, binds: Sequence[Bind], limits: Limits) -> None:
    """Scratch folders and binds lie in memory, so they count too. Requests equal limits."""
    size_mb = (limits.box_memory_bytes >> 20) + RUNNER_MB + sum(_folders(binds, limits).values())
    for side in ("requests", "limits"):
        box["resources"][side]["memory"] = f"{size_mb}Mi"


def _size_scratch(spec: JsonObject, limits: Limits) -> None:
    names = {
        mount["name"] for mount in spec["containers"][0]["volumeMounts"] if mount["mountPath"] in SCRATCH
    }
    for volume in spec["volumes"]:
        if volume["name"] in names:
            volume["emptyDir"] = {"medium": "Memory", "sizeLimit": f"{limits.file_mb}Mi"}


def _folders(binds: Sequence[Bind], limits: Limits) -> dict[str, int]:
    """The folders directly under the root that binds need, with the megabytes that they may hold."""
    found: dict[str, int] = {}
    for bind in binds:
        parts = Path(bind.target).parts
        if len(parts) < 2 or (len(parts) == 2 and bind.source.is_file()):
            raise BoxError(f"can't ready the box: {bind.target} is no place below a folder")
        folder = f"/{parts[1]}"
        size_mb = -(-_size_bytes(bind.source) >> 20) + 1 + (limits.file_mb if bind.writable else 0)
        if folder not in SCRATCH:
            found[folder] = found.get(folder, 0) + size_mb
    return found


def _size_bytes(path: Path) -> int:
    if path.is_dir():
        return sum(found.stat().st_size for found in path.rglob("*") if found.is_file())
    return path.stat().st_size


def address_of(pod: JsonObject) -> str:
    """Where its runner listens; empty while it is not running. Raises BoxError where it never will."""
    status = pod.get("status", {})
    for container in status.get("containerStatuses") or []:
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in BROKEN_START:
            raise BoxError(
                f"a box's pod does not start: {waiting['reason']}: {waiting.get('message', '')}"[:500],
                "is the image of the pod template there, and may this cluster pull it?",
            )
    if status.get("phase") in ("Failed", "Succeeded"):
        raise BoxError(f"a box's pod ended before it was used: {_reason(pod)}")
    return str(status.get("podIP") or "") if status.get("phase") == "Running" else ""


def why_not_yet(pod: JsonObject) -> str:
    """The scheduler's or the kubelet's own words for a pod that is still waiting."""
    messages = [
        condition.get("message", "")
        for condition in pod.get("status", {}).get("conditions") or []
        if condition.get("status") == "False"
    ]
    return "; ".join(filter(None, messages))[:300] or "no reason given"


def end_of(pod: JsonObject | None) -> End:
    """How a pod ended, from its status. Raises BoxError where the cluster removed it: no program caused
    that."""
    if pod is None:
        raise BoxError("a box's pod was deleted while its program ran")
    status = pod.get("status", {})
    if status.get("reason") == "DeadlineExceeded":
        return "deadline"
    if status.get("reason"):  # Evicted, Preempting, NodeShutdown, NodeLost, ...
        raise BoxError(f"the cluster removed a box's pod: {_reason(pod)}")
    states = [
        found.get("state", {}).get("terminated") or {} for found in status.get("containerStatuses") or []
    ]
    if any(state.get("reason") == "OOMKilled" for state in states):
        return "out of memory"
    return "ended" if status.get("phase") in ("Failed", "Succeeded") or any(states) else "running"


def _reason(pod: JsonObject) -> str:
    status = pod.get("status", {})
    return f"{status.get('reason', status.get('phase'))}: {status.get('message', '')}".strip(": ")
