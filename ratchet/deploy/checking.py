"""`ratchet deploy --check`: renders overlays, validates them and tries every policy. It needs no cluster."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from ratchet.deploy import schema
from ratchet.deploy.manifests import ROOT, Renderer, find_renderer, pods_of, render
from ratchet.deploy.pod_policies import POD_POLICIES, loose_images
from ratchet.deploy.set_policies import SET_POLICIES
from shared.errors import SettingsError
from shared.messages.records import JsonObject


@dataclass(frozen=True)
class Finding:
    """`rule` is `schema` or a policy's name."""

    rule: str
    what: str


@dataclass(frozen=True)
class Report:
    """What one overlay is like."""

    overlay: str
    renderer: str
    documents: int
    pods: int
    faults: list[Finding]
    warnings: list[Finding]


def overlays(names: Sequence[str]) -> list[Path]:
    """Folders by name under k8s/overlays or by path; all of ours where none is named."""
    folders = [Path(name) if Path(name).is_dir() else ROOT / "overlays" / name for name in names]
    folders = folders or sorted(path for path in (ROOT / "overlays").glob("*") if path.is_dir())
    missing = [str(folder) for folder in folders if not (folder / "kustomization.yaml").exists()]
    if missing or not folders:
        raise SettingsError(
            f"no overlay here: {', '.join(missing) or ROOT}", "a folder with a kustomization.yaml"
        )
    return folders


def check(folder: Path, renderer: Renderer) -> Report:
    documents = render(folder, renderer)
    return Report(
        folder.name,
        renderer.name,
        len(documents),
        len(pods_of(documents)),
        faults(documents),
        warnings(documents),
    )


def faults(documents: Sequence[JsonObject]) -> list[Finding]:
    """Schema first: a document of the wrong shape is not looked at further."""
    found = [Finding("schema", what) for what in schema.faults(documents)]
    return found or policy_faults(documents)


def policy_faults(documents: Sequence[JsonObject]) -> list[Finding]:
    found = [
        Finding(policy.__name__, f"{pod}: {what}")
        for pod in pods_of(documents)
        for policy in POD_POLICIES
        for what in policy(pod)
    ]
    return found + [Finding(policy.__name__, what) for policy in SET_POLICIES for what in policy(documents)]


def warnings(documents: Sequence[JsonObject]) -> list[Finding]:
    return [
        Finding("image by tag alone", f"{image}: pin the digest of your registry")
        for image in loose_images(pods_of(documents))
    ]


def run(names: Sequence[str], as_json: bool) -> bool:
    """Print what was found; whether all is well."""
    renderer = find_renderer()
    reports = [check(folder, renderer) for folder in overlays(names)]
    if as_json:
        typer.echo(json.dumps([asdict(report) for report in reports], indent=2))
    for report in [] if as_json else reports:
        well = "is well" if not report.faults else f"has {len(report.faults)} faults"
        typer.echo(f"{report.overlay} {well}: {report.documents} documents, {report.pods} kinds of pods")
        for mark, findings in (("fault", report.faults), ("warning", report.warnings)):
            for finding in findings:
                typer.echo(f"  {mark}: {finding.rule}: {finding.what}")
    if not as_json:
        typer.echo(f"rendered by {renderer.name}; schemas of Kubernetes {', '.join(schema.VERSIONS)}")
    return not any(report.faults for report in reports)
