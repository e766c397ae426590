"""`ratchet soak`, on a scale of seconds: jobs that leave nothing behind are flat, a planted leak is found."""

from datetime import UTC, datetime

import pytest

from ratchet.chaos.work import Work
from ratchet.soak.command import Wish, soak

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
HOURS = 40 / 3600


def test_jobs_that_leave_nothing_behind_are_flat() -> None:
    found = soak(Wish(HOURS, rate=4.0))
    assert found["verdict"] == "flat", found["series"]
    assert found["jobs"] > 50
    assert found["machine"]
    assert found["date"] == datetime.now(UTC).date().isoformat()


def test_memory_descriptors_and_files_that_stay_are_found() -> None:
    found = soak(Wish(HOURS, rate=4.0, work=Work(1, notes=False, leak_kb=500)))
    grown = {name for name, series in found["series"].items() if not series["flat"]}
    assert {"memory_mb", "descriptors", "spare_disk_mb"} <= grown, found["series"]
    assert not found["ok"]
