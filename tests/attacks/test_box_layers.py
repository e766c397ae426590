"""Layers taken away one by one: the box finds that it is not whole, and names the layer and a hint."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.box.box import Limits
from shared.box.bubblewrap.box import BubblewrapBox
from shared.box.bubblewrap.cgroup import can_make_groups
from shared.box.bubblewrap.probe import probe
from shared.box.bubblewrap.seccomp import ARCHES, filter_program
from shared.box.open import open_box
from shared.errors import BoxNotWholeError

LIMITS = Limits(wall_s=30, processes=16, memory_mb=128, file_mb=4)


@pytest.fixture
def weak_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A bubblewrap before the real one that a test fills with a script; "$REAL" is the real one."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the dropped uid must reach it
        fake = Path(folder, "bwrap")
        fake.write_text(f"#!/bin/sh\nREAL={shutil.which('bwrap')}\n", encoding="utf-8")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        open_box.cache_clear()
        yield fake
        open_box.cache_clear()


def test_a_box_without_its_filter_refuses_to_open(weak_bubblewrap: Path) -> None:
    with weak_bubblewrap.open("a", encoding="utf-8") as script:
        script.write('shift 2; exec "$REAL" "$@"\n')  # --seccomp FD comes first

    layer = {layer.name: layer for layer in probe()}["system calls"]
    assert not layer.ok
    assert layer.detail.startswith("allowed: ptrace, keyctl")
    assert "CONFIG_SECCOMP_FILTER" in layer.hint
    with pytest.raises(BoxNotWholeError) as refusal:
        open_box()
    assert refusal.value.exit_code == 78


def test_a_box_with_the_hosts_network_refuses_to_open(weak_bubblewrap: Path) -> None:
    with weak_bubblewrap.open("a", encoding="utf-8") as script:
        script.write('filter=$2; shift 3; exec "$REAL" --seccomp "$filter" --unshare-all --share-net "$@"\n')

    with pytest.raises(BoxNotWholeError, match="network"):
        open_box()


@pytest.mark.skipif(not can_make_groups(), reason="this machine permits no control groups")
def test_a_program_killed_for_the_memory_of_its_whole_box_is_over_its_limit() -> None:
    program = """import os, sys, time
born = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        held = [bytes([1]) * (1 << 20) for _ in range(70)]
        time.sleep(1)
        os._exit(len(held) != 70)
    born.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in born))"""

    result = BubblewrapBox().run([sys.executable, "-I", "-S", "-c", program], limits=LIMITS)

    assert (result.outcome, result.exit_code) == ("over_limit", 1)


def test_there_is_a_filter_for_every_machine_that_is_named_and_none_for_others() -> None:
    assert all(len(filter_program(machine)) % 8 == 0 < len(filter_program(machine)) for machine in ARCHES)
    assert filter_program("sparc64") == b""


def test_a_box_without_the_interpreter_has_nothing_of_its_environment() -> None:
    result = BubblewrapBox().run(
        ["sh", "-c", "ls -d /root /home /work /opt/venv"], limits=LIMITS, python=False
    )

    assert result.stdout == b""
