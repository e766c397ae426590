"""Kubernetes manifests as they would be applied: rendered by kustomize, read as plain data, and the pods
in them.

It applies nothing and needs no cluster. Faults of the documents are found by schema.py and the policies.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shared.errors import RatchetError, ToolMissingError
from shared.messages.records import JsonObject
from shared.packaged import packaged

ROOT = packaged("k8s")
RENDER_TIMEOUT_S = 60
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job")


class RenderError(RatchetError):
    """An overlay that does not render."""

    exit_code = 2


@dataclass(frozen=True)
class Renderer:
    """A program that renders a folder: `argv DIR`."""

    argv: tuple[str, ...]
    name: str  # its version line, for the report


@dataclass(frozen=True)
class Pod:
    """A pod that some document would make, with what the policies ask about."""

    kind: str  # of the document
    name: str
    namespace: str
    labels: dict[str, str]
    spec: JsonObject

    @property
    def containers(self) -> list[JsonObject]:
        groups = ("initContainers", "containers", "ephemeralContainers")
        return [container for group in groups for container in self.spec.get(group) or []]

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def find_renderer() -> Renderer:
    """kubectl, else kustomize, else the kubectl that the extra `deploy` brought. Raises ToolMissingError."""
    own = Path(sys.executable).with_name("kubectl")
    wanted: list[tuple[str | None, Sequence[str], Sequence[str]]] = [
        (shutil.which("kubectl"), ("kustomize",), ("version", "--client")),
        (shutil.which("kustomize"), ("build",), ("version",)),
        (str(own) if own.exists() else None, ("kustomize",), ("version", "--client")),
    ]
    for program, render, version in wanted:
        if program is not None:
            printed = subprocess.run(
                [program, *version],
                capture_output=True,
                encoding="utf-8",
                timeout=RENDER_TIMEOUT_S,
                check=False,
            )
            return Renderer((program, *render), f"{program}: {', '.join(printed.stdout.split(chr(10))[:2])}")
    raise ToolMissingError("neither kubectl nor kustomize is installed", "pip install 'ratchet-sia[deploy]'")


def render(folder: Path, renderer: Renderer) -> list[JsonObject]:
    """The documents of an overlay. Raises RenderError."""
    try:
        done = subprocess.run(
            [*renderer.argv, str(folder)],
            capture_output=True,
            encoding="utf-8",
            timeout=RENDER_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RenderError(f"{folder} was not rendered after {RENDER_TIMEOUT_S} s") from None
    if done.returncode != 0:
        raise RenderError(f"{folder} does not render: {done.stderr.strip()[-800:]}")
    return load_documents(done.stdout)


def load_documents(text: str) -> list[JsonObject]:
    documents: list[Any] = [document for document in yaml.safe_load_all(text) if document is not None]
    return documents


def name_of(document: JsonObject) -> str:
    place = document.get("metadata", {})
    namespace = f"{place['namespace']}/" if "namespace" in place else ""
    return f"{document.get('kind')} {namespace}{place.get('name')}"


def of_kind(documents: Sequence[JsonObject], *kinds: str) -> list[JsonObject]:
    return [document for document in documents if document.get("kind") in kinds]


def pods_of(documents: Sequence[JsonObject]) -> list[Pod]:
    """Every pod that the documents would make or are a template of."""
    return [pod for document in documents for pod in _pods(document)]


def _pods(document: JsonObject) -> Iterator[Pod]:
    kind, place = str(document.get("kind")), document.get("metadata") or {}
    spec = document.get("spec") or {}
    if kind == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    if kind == "Pod":
        template: JsonObject = document
    elif kind == "PodTemplate":
        template = document["template"]
    elif kind == "CronJob" or kind in WORKLOADS:
        template = spec["template"]
    else:
        return
    labels = (template.get("metadata") or {}).get("labels") or {}
    yield Pod(kind, place.get("name", "?"), place.get("namespace", "default"), labels, template["spec"])
