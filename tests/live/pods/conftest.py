"""An in-memory cluster whose pods really run, and the box on it. No test leaves a pod behind."""

from collections.abc import Iterator
from typing import Any

import pytest

from ratchet.cluster.manifests import ROOT, find_renderer, render
from ratchet.local_cluster import LocalCluster
from shared.pod_box import PodBox
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
