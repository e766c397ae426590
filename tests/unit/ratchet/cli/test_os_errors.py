"""What the operating system refuses, as a sentence, a hint and an exit code."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet.cli.attack import attack
from ratchet.cli.main import os_error_text
from ratchet.stack.side_programs import take_port
from shared.errors import SettingsError


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


def test_a_package_that_is_not_installed_is_named_with_how_to_install_it(tmp_path: Path) -> None:
    program = "import sys; sys.modules['uvicorn'] = None; from ratchet.cli.main import main; main()"
    command = [sys.executable, "-c", program, "ui", "--root", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 69
    assert done.stderr.startswith("ratchet: uvicorn is not installed\n  hint: ./install.sh")


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        ("127.0.0.1", 99_999, "99999 is no port"),
        ("127.0.0.1", -1, "-1 is no port"),
        ("192.0.2.7", 0, "port 0 of 192.0.2.7 can't be used"),
        ("no such host", 0, "can't be used"),
        ("2001:db8::7", 0, "can't be used"),
    ],
)
def test_an_address_that_can_not_be_listened_on_is_named(host: str, port: int, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        take_port(port, "--port", host)


def test_a_busy_port_is_named_and_zero_finds_a_free_one() -> None:
    busy = socket.create_server(("127.0.0.1", 0))
    with busy, pytest.raises(SettingsError, match="Address already in use") as raised:
        take_port(busy.getsockname()[1], "--port")
    assert "0 takes a free one" in raised.value.hint
    assert take_port(0, "--port") > 0


INTERRUPTS = """
import sys, types
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupts())
sys.argv = ["ratchet", "ls"]
from ratchet.program import main
main()
"""


@pytest.mark.parametrize("name", ["typer", "ratchet.cli.main", "ratchet.ui.pages"])
def test_an_interrupt_at_any_moment_is_a_sentence_and_130(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTS.format(name=name)]

    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    assert (done.returncode, done.stderr.strip()) == (130, "ratchet: interrupted")


def test_an_attack_of_an_unknown_name_is_no_attack_withstood() -> None:
    with pytest.raises(SettingsError, match="unknown attack 'nosuch'"):
        attack(["nosuch"], as_json=False)
