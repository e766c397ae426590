"""What the operating system refuses, as a sentence, a hint and an exit code."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet.cli.main import os_error_text


@pytest.mark.parametrize(
    ("number", "hint", "exit_code"),
    [
        (errno.ENOSPC, "make room", 74),
        (errno.EDQUOT, "make room", 74),
        (errno.EACCES, "this user may not", 74),
        (errno.EROFS, "this user may not", 74),
        (errno.EEXIST, "a file lies where a folder", 2),
        (errno.ENOTDIR, "a file lies where a folder", 2),
        (errno.ENOENT, "check the path", 2),
        (errno.ENAMETOOLONG, "check the path", 2),
        (errno.EADDRINUSE, "--port 0", 2),
        (errno.EMFILE, "ulimit", 74),
        (errno.EIO, "ratchet doctor", 74),
    ],
)
def test_each_refusal_of_the_system_has_its_own_hint(number: int, hint: str, exit_code: int) -> None:
    message, given, code = os_error_text(OSError(number, os.strerror(number), "a/place"))

    assert message == f"a/place: {os.strerror(number)}"
    assert (hint in given, code) == (True, exit_code)


def test_a_path_below_a_file_is_the_users_mistake_and_not_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "afile").write_text("x")
    command = [sys.executable, "-m", "ratchet.cli.main", "init", str(tmp_path / "afile" / "mine")]

    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 2
    assert "a file lies where a folder is wanted" in done.stderr
    assert "Traceback" not in done.stderr
