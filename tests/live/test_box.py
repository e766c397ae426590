"""The box as its users see it: what a program gets, what it may write, and how its end is reported."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from shared.box.box import Bind, Limits
from shared.box.bubblewrap.box import BubblewrapBox
from shared.box.bubblewrap.launch import stage_folder
from shared.box.bubblewrap.probe import probe
from shared.box.open import open_box
from shared.errors import BoxError, BoxNotWholeError
from tests.parts.small_disk import make_read_only, small_disk
from tests.running import ends_soon

QUICK = Limits(wall_s=20, processes=8)


def test_every_layer_holds_when_attacked_from_inside() -> None:
    assert [layer for layer in probe() if not layer.ok] == []


def test_a_program_runs_and_its_streams_and_exit_code_come_back() -> None:
    script = "cat; echo problem >&2; exit 3"

    result = open_box().run(["sh", "-c", script], limits=QUICK, stdin=b"given")

    assert (result.outcome, result.exit_code) == ("crashed", 3)
    assert (result.stdout, result.stderr) == (b"given", b"problem\n")


def test_the_environment_holds_only_what_the_box_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")

    seen = open_box().run(
        ["cat", "/proc/self/environ", "/proc/1/environ"], limits=QUICK, env={"OMP_NUM_THREADS": "2"}
    )

    names = {item.partition(b"=")[0] for item in seen.stdout.split(b"\0") if item}
    assert names - {b"PWD"} == {b"PATH", b"HOME", b"LANG", b"PYTHONHASHSEED", b"OMP_NUM_THREADS"}


def test_a_writable_bind_takes_files_and_a_read_only_one_does_not(tmp_path: Path) -> None:
    given, taken = tmp_path / "given", tmp_path / "taken"
    given.mkdir(mode=0o700)
    taken.mkdir(mode=0o700)
    (given / "input").write_text("from outside")
    binds = [Bind(given, "/given"), Bind(taken, "/taken", writable=True)]

    result = open_box().run(
        ["sh", "-c", "cp /given/input /taken/output; touch /given/new"], binds=binds, limits=QUICK
    )

    assert (taken / "output").read_text() == "from outside"
    assert result.outcome == "crashed"
    assert not (given / "new").exists()


def test_a_single_file_can_be_bound(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    source = tmp_path / "closed" / "input"
    source.write_text("from outside")
    source.chmod(0o600)

    result = open_box().run(["cat", "/input"], binds=[Bind(source, "/input")], limits=QUICK)

    assert result.stdout == b"from outside"


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_what_a_folder_holds_can_be_read_whatever_the_umask_was(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        (tmp_path / "given" / "deep").mkdir(parents=True)
        (tmp_path / "given" / "deep" / "input").write_text("from outside")
        (tmp_path / "private").write_text("not bound")
        (tmp_path / "given" / "link").symlink_to(tmp_path / "private")
        result = open_box().run(
            ["cat", "/given/deep/input"], binds=[Bind(tmp_path / "given", "/given")], limits=QUICK
        )
    finally:
        os.umask(before)

    assert (result.outcome, result.stdout) == ("ok", b"from outside")
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o666 & ~umask  # a link's end is not opened


def test_a_missing_bind_is_a_broken_box_and_not_a_broken_program(tmp_path: Path) -> None:
    with pytest.raises(BoxError, match="no-such-folder"):
        open_box().run(["true"], binds=[Bind(tmp_path / "no-such-folder", "/x")], limits=QUICK)


def test_a_box_that_bubblewrap_refuses_is_a_broken_box() -> None:
    with pytest.raises(BoxError, match="did not start"):
        open_box().run(["true"], limits=QUICK, cwd="/no/such/folder")


def test_a_started_program_talks_over_its_pipes_until_it_is_killed() -> None:
    with open_box().start(["cat"], limits=QUICK) as process:
        process.stdin.write(b"ping")
        assert process.stdout.read(4) == b"ping"
        assert process.wait(0) is None
        process.kill()
        assert not process.alive()


def test_a_started_program_that_ends_tells_its_exit_code() -> None:
    with open_box().start(["sh", "-c", "echo why >&2; exit 5"], limits=QUICK) as process:
        assert process.wait(20) == 5
        assert process.stderr_tail() == "why\n"


def test_two_boxes_do_not_share_a_process_limit() -> None:
    limits = Limits(wall_s=20, processes=4)
    with open_box().start(["sh", "-c", "sleep 60 & sleep 60 & echo up; wait"], limits=limits) as first:
        assert first.stdout.read(3) == b"up\n"
        second = open_box().run(["sh", "-c", "sleep 0 & sleep 0 & wait"], limits=limits)

    assert (second.outcome, second.stderr) == ("ok", b"")


def test_a_box_dies_with_the_process_that_started_it() -> None:
    program = """import sys, time
from shared.box.box import Limits
from shared.box.bubblewrap.box import BubblewrapBox
process = BubblewrapBox().start(["sh", "-c", "echo up; sleep 600"], limits=Limits())
process.stdout.read(3)
print(process.pid, flush=True)
time.sleep(600)"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        boxed = int(parent.stdout.readline())

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    assert ends_soon(boxed)


def test_without_bubblewrap_the_box_refuses_and_names_the_hint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for tool in ("unshare", "setpriv", "mount", "prlimit", "sh"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    open_box.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BoxNotWholeError, match="bwrap") as refusal:
        open_box()

    assert refusal.value.exit_code == 78
    assert "apt-get install bubblewrap" in refusal.value.hint


def test_a_bubblewrap_that_can_not_make_namespaces_is_told_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the dropped uid must reach it
        fake = Path(folder, "bwrap")
        fake.write_text(
            "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n", encoding="utf-8"
        )
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

        first = probe()[0]

    assert not first.ok
    assert "No permissions" in first.detail
    assert "unprivileged_userns_clone" in first.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs all the other tests this way")
@pytest.mark.skipif(os.getuid() != 0, reason="boxes are staged by root alone")
def test_where_the_root_is_read_only_boxes_are_staged_elsewhere(tmp_path: Path) -> None:
    with small_disk(tmp_path / "run") as run:
        make_read_only(run)
        assert stage_folder(run / "box", tmp_path / "box") == tmp_path / "box"
        with pytest.raises(BoxError, match="no folder to stage a box in"):
            stage_folder(run / "box")
    (tmp_path / "link").symlink_to(tmp_path / "box")
    os.chown(tmp_path / "box", 4242, 4242)
    for squatted in ("link", "box"):
        with pytest.raises(BoxError):
            stage_folder(tmp_path / squatted)


def test_root_never_runs_the_box_as_root(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()

    BubblewrapBox().run(["touch", "/made/file"], binds=[Bind(folder, "/made", writable=True)], limits=QUICK)

    assert (folder / "file").stat().st_uid >= 200_000
