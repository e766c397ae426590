"""Shared parts of the tests of boxes that are pods: limits, images, settings."""

import sys
from pathlib import Path
from typing import Any

from ratchet.deploy.local_cluster import LocalCluster
from shared.box.box import Limits
from shared.box.pods.box import BoxSettings

QUICK = Limits(wall_s=20, processes=8)
IMAGES = {"ratchet/box:0.1.0": True, "ratchet/box-bare:0.1.0": False}
PYTHON = [sys.executable, "-I", "-S", "-c"]
TASK = Path(__file__).parents[1] / "toolchains" / "tiny_python"


def settings(cluster: LocalCluster, **changes: Any) -> BoxSettings:
    owner = changes.pop("owner", "sandbox-service")
    found = {"namespace": "ratchet-sandbox", "owner": owner, "template": owner, "start_timeout_s": 20}
    bare = {"bare_template": "sandbox-service-bare"} if owner == "sandbox-service" else {}
    return BoxSettings.model_validate(found | bare | {"api_url": cluster.url} | changes)
