"""An in-memory cluster whose pods really run, and the box on it. No test leaves a pod behind."""

from collections.abc import Iterator
from typing import Any

import pytest

from ratchet.deploy.local_cluster import LocalCluster
from ratchet.deploy.manifests import ROOT, find_renderer, render
from shared.box.pods.box import PodBox
from tests.live.pods.making import IMAGES, settings


@pytest.fixture(scope="module")
def templates() -> list[dict[str, Any]]:
    return render(ROOT / "overlays" / "local", find_renderer())


@pytest.fixture(scope="module")
def cluster(templates: list[dict[str, Any]]) -> Iterator[LocalCluster]:
    with LocalCluster(templates, IMAGES) as made:
        yield made


@pytest.fixture(scope="module")
def box(cluster: LocalCluster) -> PodBox:
    return PodBox(settings(cluster))


@pytest.fixture(autouse=True)
def _nothing_stays(cluster: LocalCluster) -> Iterator[None]:
    yield
    assert cluster.pods() == []
