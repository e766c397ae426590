"""Ways out of the box: each attack works outside of it, and meets a wall inside."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from shared.box.box import Bind, BoxResult, Limits
from shared.box.open import open_box

LIMITS = Limits(wall_s=30, processes=16, file_mb=16)


def attack(program: str, *arguments: str) -> BoxResult:
    return open_box().run([sys.executable, "-I", "-S", "-c", program, *arguments], limits=LIMITS)


def works_outside(program: str, *arguments: str) -> bool:
    return subprocess.run([sys.executable, "-I", "-S", "-c", program, *arguments], timeout=30).returncode == 0


def test_a_listener_on_the_hosts_loopback_is_out_of_reach() -> None:
    program = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=5)"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])

        assert works_outside(program, port)
        assert b"Error" in attack(program, port).stderr


def test_an_abstract_unix_socket_of_the_host_is_out_of_reach() -> None:
    program = "import socket; socket.socket(socket.AF_UNIX).connect('\\0ratchet-box-test')"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0ratchet-box-test")
        listener.listen()

        assert works_outside(program)
        assert attack(program).outcome == "crashed"


def test_a_secret_file_of_the_host_is_unseen(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    program = "import sys; open(sys.argv[1])"

    assert works_outside(program, str(secret))
    assert b"FileNotFoundError" in attack(program, str(secret)).stderr


def test_the_task_folders_and_the_services_are_unseen() -> None:
    root = Path(__file__).resolve().parents[2]

    seen = attack("import os, sys; print(sorted(os.listdir(sys.argv[1])))", str(root))

    assert b"shared" in seen.stdout
    assert b"tasks" not in seen.stdout
    assert b"sandbox_service" not in seen.stdout


@pytest.mark.parametrize("path", ["/etc/shadow", "/etc/passwd", "/sys/kernel", "/run", "/dev/kmsg"])
def test_files_of_the_system_that_no_toolchain_needs_are_unseen(path: str) -> None:
    assert open_box().run(["test", "-e", path], limits=LIMITS).outcome == "crashed"


@pytest.mark.parametrize(
    "path", ["/proc/sys/kernel/core_pattern", "/usr/bin/planted", "/planted", "/dev/planted"]
)
def test_nothing_that_outlives_the_box_can_be_written(path: str) -> None:
    program = "import os, sys; os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)"

    assert b"Error" in attack(program, path).stderr
    assert not Path(path).exists() or path.startswith("/proc")


def test_no_further_user_namespace_can_be_made() -> None:
    assert open_box().run(["unshare", "--user", "true"], limits=LIMITS).outcome == "crashed"


def test_the_hosts_processes_are_unseen() -> None:
    seen = attack("import os; print(max(int(name) for name in os.listdir('/proc') if name.isdigit()))")

    assert int(seen.stdout) < 20


def test_no_descriptor_is_inherited(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w"):
        seen = attack(
            "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')[:-1]])"
        )

    assert b"/open" not in seen.stdout
    assert seen.stdout.count(b",") == 2  # stdin, stdout, stderr


def test_a_link_left_in_a_writable_folder_still_points_into_the_box(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    binds = [Bind(folder, "/out", writable=True)]

    open_box().run(["ln", "-s", "/etc/shadow", "/out/result"], binds=binds, limits=LIMITS)

    assert (folder / "result").is_symlink()  # so the collecting process must refuse links: this test shows it
