"""Attacks a cluster's box before anything untrusted enters it: a pod like all others, in which
inside/attack.py tries what a program could. Where a layer does not hold, nothing is run here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from shared.box.box import SHARED, Box, Layer, Limits
from shared.box.pods.box import PodBox
from shared.box.pods.spec import PORT
from shared.errors import BoxError, BoxNotWholeError

ATTACK_LIMITS = Limits(wall_s=60, cpu_s=20, memory_mb=256, processes=8, file_mb=8)
HINTS = {
    "identity": "the pod template sets runAsNonRoot, drops all capabilities and forbids escalation",
    "token": "the pod template sets automountServiceAccountToken: false",
    "environment": "nothing may put variables into the sandbox's pods",
    "read-only root": "the pod template sets readOnlyRootFilesystem: true",
    "runner": "the pod template does not share processes between containers or with the host",
    "network": "apply k8s/base/network.yaml, on a cluster whose network plugin enforces NetworkPolicy",
}


def attack_layers(box: Box, targets: Sequence[str]) -> list[Layer]:
    """What held, one layer an attack. `targets` are host:port that this process reaches and a box must
    not."""
    argv = [sys.executable, "-I", "-S", str(SHARED / "box/pods/inside/attack.py"), str(PORT), *targets]
    done = box.run(argv, limits=ATTACK_LIMITS)
    if done.outcome != "ok":
        raise BoxError(f"the attack on a box did not run: {done.stderr.decode(errors='replace')[-300:]}")
    met: dict[str, str] = json.loads(done.stdout)
    return [
        Layer(name, met.get(name) == "", met.get(name, "was not tried"), "" if met.get(name) == "" else hint)
        for name, hint in HINTS.items()
    ]


def refuse_holes(box: PodBox) -> None:
    """Raises BoxNotWholeError that names layer and hint."""
    server = urlsplit(box.api.address)
    targets = [f"{server.hostname}:{server.port or 443}", *box.settings.must_not_reach]
    broken = [layer for layer in attack_layers(box, targets) if not layer.ok]
    if broken:
        first = broken[0]
        raise BoxNotWholeError(f"a box's pod is not whole: {first.name}: {first.detail}", first.hint)
