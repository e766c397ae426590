"""docs/tutorial.md, word for word: its files are written, its commands run, their outputs compared. It prints
how long that took.
"""

import doctest
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs/tutorial.md"
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def commands(block: str) -> list[tuple[str, str]]:
    """(command, its output) of a console block."""
    found = []
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, _, output = part.partition("\n")
        found.append((command, output))
    return found


def follow(page: str, folder: Path) -> list[tuple[str, float]]:
    """Do what the page says; returns each command with its seconds. Fails where an output differs."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = []
    for kind, title, text in FENCE.findall(page):
        if title:
            (folder / title).parent.mkdir(parents=True, exist_ok=True)
            (folder / title).write_text(text)
        for command, wanted in commands(text) if kind == "console" else []:
            began_s = time.monotonic()
            ran = subprocess.run(
                command,
                shell=True,
                cwd=folder,
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
            )
            done.append((command, time.monotonic() - began_s))
            assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
            assert doctest.OutputChecker().check_output(wanted, ran.stdout, FLAGS), (
                f"$ {command}\nthe page says:\n{wanted}\nit printed:\n{ran.stdout}"
            )
    return done


def processor_s() -> float:
    """Of all programs that have ended, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
@pytest.mark.timeout(3600)  # beside other work; alone it takes minutes
def test_the_tutorial_works_word_for_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before_s = processor_s()
    done = follow(PAGE.read_text(encoding="utf-8"), tmp_path)
    with capsys.disabled():
        for command, seconds in done:
            print(f"\n{seconds:7.1f} s  {command}", end="")
        print(f"\n{sum(seconds for _, seconds in done):7.1f} s  the whole tutorial")
        print(f"{processor_s() - before_s:7.1f} s  of processor time")
    assert (tmp_path / "runs/first/report/report.html").exists()


def test_a_page_that_says_something_else_fails(tmp_path: Path) -> None:
    file = '```text title="a/b.txt"\nhello\n```\n'
    page = f"{file}\n```console\n$ cat a/b.txt\nhello\n$ echo one two\none ...\n```\n"
    assert [command for command, _ in follow(page, tmp_path)] == ["cat a/b.txt", "echo one two"]
    with pytest.raises(AssertionError, match="the page says"):
        follow(page.replace("one ...", "two ..."), tmp_path)
    with pytest.raises(AssertionError, match="No such file"):
        follow(page.replace("cat a/b", "cat c"), tmp_path)
