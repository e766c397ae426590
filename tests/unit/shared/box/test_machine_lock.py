"""Quiet excludes busy and quiet; busy goes with busy; the dead hold nothing."""

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from shared.box.machine_lock import (
    MachineLockError,
    busy,
    own_folder,
    places,
    quiet,
    shared_folder,
)
from tests.parts.small_disk import make_read_only, small_disk

Lock = Callable[[Path], AbstractContextManager[None]]
context = multiprocessing.get_context("fork")


def hold(lock: Lock, folder: Path, has: Event, let_go: Event) -> None:
    with lock(folder):
        has.set()
        let_go.wait(20)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [(busy, busy, True), (busy, quiet, False), (quiet, busy, False), (quiet, quiet, False)],
)
def test_who_may_hold_the_machine_together(first: Lock, second: Lock, together: bool, tmp_path: Path) -> None:
    has = [context.Event(), context.Event()]
    let_go = context.Event()
    holders = [
        context.Process(target=hold, args=(lock, tmp_path, has[i], let_go))
        for i, lock in enumerate((first, second))
    ]
    holders[0].start()
    assert has[0].wait(10)
    holders[1].start()
    assert has[1].wait(0.3) is together
    let_go.set()
    assert has[1].wait(10)  # the waiting one gets it in the end
    for holder in holders:
        holder.join(10)


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    has = context.Event()
    holder = context.Process(target=hold, args=(quiet, tmp_path, has, context.Event()))
    holder.start()
    assert has.wait(10)
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join(10)
    with quiet(tmp_path):
        pass


def test_a_lock_of_the_user_s_own_is_made_for_the_user_alone(tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "home" / ".cache" / "lock", tmp_path / "other")
    assert folder == tmp_path / "home" / ".cache" / "lock"
    assert folder.stat().st_mode & 0o777 == 0o700
    with quiet(folder):
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_where_there_is_no_home_another_place_is_taken(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, so that nothing can be made below it")
    assert own_folder(tmp_path / "home" / "lock", tmp_path / "other") == tmp_path / "other"
    with pytest.raises(MachineLockError, match="no folder for the machine lock"):
        own_folder(tmp_path / "home" / "lock")


def test_a_lock_on_a_disk_that_is_read_only_now_is_not_taken(tmp_path: Path) -> None:
    with small_disk(tmp_path / "home") as home:
        made = own_folder(home / "lock")
        with quiet(made):
            pass
        make_read_only(home)
        assert own_folder(home / "lock", tmp_path / "other") == tmp_path / "other"
        with pytest.raises(MachineLockError, match="no folder for the machine lock"):
            own_folder(home / "lock")


def test_a_link_in_the_lock_s_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MachineLockError, match="or a link"):
        own_folder(tmp_path / "lock", tmp_path / "other")
    (tmp_path / "elsewhere" / "turnstile").symlink_to(tmp_path / "precious")
    with pytest.raises(MachineLockError, match="can't open the machine lock"), busy(tmp_path / "elsewhere"):
        pass
    assert not (tmp_path / "precious").exists()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.link(__file__, path)])
def test_what_is_no_file_of_its_own_is_no_lock(make: Callable[[Path], None], tmp_path: Path) -> None:
    try:
        make(tmp_path / "work")
    except OSError:
        pytest.skip("the file system of the test's folder can't hold that")
    with pytest.raises(MachineLockError, match="no file of its own"), busy(tmp_path):
        pass


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_another_user_s_folder_is_named_and_never_used(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    os.chown(tmp_path / "lock", 4242, 4242)
    with pytest.raises(MachineLockError, match="belongs to user 4242") as caught:
        own_folder(tmp_path / "lock")
    assert not caught.value.transient


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
def test_a_second_user_works_although_the_first_one_holds_the_machine() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's folders are closed to others
        folder = Path(name)
        folder.chmod(0o777)
        with quiet(own_folder(folder / "lock-0")):
            other = context.Process(target=hold_as, args=(4242, folder / "lock-4242"))
            other.start()
            other.join(20)
    assert other.exitcode == 0


def hold_as(user: int, folder: Path) -> None:
    os.setgid(user)
    os.setuid(user)
    with quiet(own_folder(folder)):
        pass


@pytest.mark.skipif(os.getuid() != 0, reason="the shared folder is root's")
@pytest.mark.parametrize(
    ("mode", "owner", "fine"), [(0o2770, 0, True), (0o777, 0, False), (0o770, 4242, False)]
)
def test_a_shared_folder_is_root_s_with_a_group_s_access_alone(
    mode: int, owner: int, fine: bool, tmp_path: Path
) -> None:
    (tmp_path / "lock").mkdir()
    os.chown(tmp_path / "lock", owner, -1)
    (tmp_path / "lock").chmod(mode)
    if fine:
        assert shared_folder(tmp_path / "lock") == tmp_path / "lock"
        return
    with pytest.raises(MachineLockError, match="group's access alone"):
        shared_folder(tmp_path / "lock")


def test_the_lock_is_the_same_whatever_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = places()[0]
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    assert places()[0] == before
