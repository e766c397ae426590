"""A real headless Chromium that looks at one page of this machine: what stands there once its scripts have
run, and a picture of it. Skips the test where there is none.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --virtual-time-budget=4000"
)


def page(url: str, folder: Path) -> str:
    """The page's DOM as HTML. `folder` takes the browser's own files."""
    return _chromium(url, folder, "--dump-dom")[0]


def page_and_console(url: str, folder: Path) -> tuple[str, list[str]]:
    """The DOM, and what scripts and the browser itself printed to the page's console."""
    dom, log = _chromium(url, folder, "--dump-dom", "--enable-logging=stderr")
    return dom, [line for line in log.splitlines() if "CONSOLE" in line]


def picture(url: str, folder: Path, file: Path, size: str = "1400,900") -> None:
    _chromium(url, folder, f"--screenshot={file}", f"--window-size={size}", "--hide-scrollbars")


def _chromium(url: str, folder: Path, *options: str) -> tuple[str, str]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    command = [program, *FLAGS.split(), f"--user-data-dir={folder}", *options, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    return done.stdout, done.stderr
