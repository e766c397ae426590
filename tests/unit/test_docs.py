"""The documentation: its site builds without a warning, holds every page, and a how-to for each command."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ratchet.cli.main import app

ROOT = Path(__file__).parents[2]


@pytest.mark.slow  # as the site: a new command must not wait for its page
def test_every_command_has_its_how_to() -> None:
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (\S+)$", page, re.M)
    commands = [found for found in app.registered_commands if found.callback]
    known = {found.name or str(found.callback.__name__).replace("_", "-") for found in commands}
    assert len(headings) == len(set(headings))
    assert set(headings) == known
    for name in headings:
        assert f"`ratchet {name}" in page


@pytest.mark.slow
def test_every_page_is_in_the_site_and_every_page_of_the_site_is_there() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"(\S+\.md)$", str(yaml.safe_load(config)["nav"]).replace("'", "\n"), re.M)
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_every_row_of_the_comparison_names_its_source() -> None:
    page = (ROOT / "docs/others.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| **") and "**Ratchet**" not in line]
    assert len(rows) == 12
    assert all(re.search(r"\]\(https://github\.com/[\w.-]+/[\w.-]+\)", row) for row in rows)


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="`make docs` installs it")
    site = tmp_path / "site"
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(site)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    reference = (site / "reference/index.html").read_text(encoding="utf-8")
    assert "Improve the agent on a task until it converges" in reference
    loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', reference)
    assert not [url for url in loaded if "canonical" not in url], loaded
