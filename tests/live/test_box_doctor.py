"""The report of `ratchet doctor` on a machine that has everything, and on one that has not."""

from pathlib import Path

import pytest

from ratchet.cli.doctor.machine import checks


def test_doctor_proves_that_the_toolchain_works_inside_the_box(tmp_path: Path) -> None:
    found = {check.name: check for check in checks(tmp_path / "runs")}

    for name in (
        "python",
        "gcc with OpenMP",
        "valkey",
        "box: numpy inside",
        "box: sklearn inside",
        "box: gcc inside",
    ):
        assert found[name].ok, found[name]


def test_doctor_names_what_is_missing_and_a_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    broken = {check.name: check for check in checks(tmp_path) if not check.ok}

    assert broken["gcc with OpenMP"].hint == "apt-get install gcc libc6-dev"
    assert "bwrap" in broken["box: bubblewrap"].detail
    assert "apt-get install bubblewrap" in broken["box: bubblewrap"].hint
