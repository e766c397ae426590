"""A small disk of its own for a test, to be filled. Only root may have one: elsewhere the test is skipped."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, size: str = "4m") -> Iterator[Path]:
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a disk of its own takes root")
    options = ["-t", "tmpfs", "-o", f"size={size}", "ratchet-test"]
    if subprocess.run(["mount", *options, place], check=False).returncode != 0:
        pytest.skip("no disk can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def enlarge(place: Path, size: str = "64m") -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)


def make_read_only(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
