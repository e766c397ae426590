"""Programs that take more than they are given: each is held by its limit, and leaves nothing behind."""

import sys
import time
from pathlib import Path

from shared.box.box import Bind, BoxResult, Limits
from shared.box.open import open_box

SMALL = Limits(wall_s=20, cpu_s=10, memory_mb=256, processes=12, file_mb=4, output_bytes=100_000)


def attack(program: str, limits: Limits = SMALL) -> BoxResult:
    return open_box().run([sys.executable, "-I", "-S", "-c", program], limits=limits)


def test_a_fork_bomb_is_held_at_the_process_limit() -> None:
    program = """import os, signal
born = 0
try:
    while True:
        if os.fork() == 0:
            signal.pause()
        born += 1
except OSError:
    print(born)"""

    result = attack(program)

    assert result.outcome == "ok"
    assert int(result.stdout) == SMALL.processes - 2  # itself and the box's first process count, too


def test_a_memory_bomb_meets_its_limit() -> None:
    result = attack("held = []\nwhile True: held.append(bytearray(1 << 24))")

    assert result.outcome == "crashed"
    assert b"MemoryError" in result.stderr


def test_an_endless_loop_ends_at_the_wall_clock() -> None:
    result = attack("while True: pass", Limits(wall_s=0.5))

    assert (result.outcome, result.exit_code) == ("timeout", None)


def test_a_loop_in_many_processes_ends_at_the_cpu_limit() -> None:
    result = attack("while True: pass", Limits(wall_s=30, cpu_s=1))

    assert result.outcome == "timeout"


def test_a_program_that_sleeps_ends_at_the_wall_clock() -> None:
    assert attack("import time; time.sleep(600)", Limits(wall_s=0.5)).outcome == "timeout"


def test_a_flood_of_output_is_cut_off() -> None:
    result = open_box().run(["yes"], limits=SMALL)

    assert result.outcome == "over_limit"
    assert len(result.stdout) < 2 * SMALL.output_bytes


def test_a_slow_drip_of_output_does_not_stretch_the_wall_clock() -> None:
    program = "import time\nwhile True: print('.', flush=True); time.sleep(0.001)"

    assert attack(program, Limits(wall_s=0.5)).outcome == "timeout"


def test_a_file_can_not_outgrow_its_limit(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    binds = [Bind(folder, "/out", writable=True)]

    result = open_box().run(
        ["dd", "if=/dev/zero", "of=/out/big", "bs=1M", "count=64"], binds=binds, limits=SMALL
    )

    assert result.outcome == "over_limit"
    assert (folder / "big").stat().st_size <= SMALL.file_mb << 20


def test_many_files_can_not_outgrow_the_scratch_folders() -> None:
    fill = "for i in 1 2 3 4; do dd if=/dev/zero of=$0/$i bs=1M count=2 || exit 9; done"
    for folder in ("/tmp", "/dev/shm"):
        result = open_box().run(["sh", "-c", fill, folder], limits=SMALL)

        assert result.exit_code == 9
        assert b"No space left" in result.stderr


def test_a_daemon_is_gone_when_the_program_has_ended(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    binds = [Bind(folder, "/out", writable=True)]
    daemon = "setsid sh -c 'exec >/dev/null 2>&1; while :; do echo x >> /out/ticks; sleep 0.01; done' & "
    for limits, script in ((SMALL, "sleep 0.1"), (Limits(wall_s=0.5), "sleep 600")):
        open_box().run(["sh", "-c", daemon + script], binds=binds, limits=limits)

        size = (folder / "ticks").stat().st_size
        time.sleep(0.1)
        assert (folder / "ticks").stat().st_size == size > 0
        (folder / "ticks").unlink()


def test_a_program_that_kills_all_it_sees_ends_only_itself() -> None:
    result = attack("import os\nos.fork()\nos.kill(-1, 9)\nos.kill(1, 9)\nos.kill(os.getpid(), 9)")

    assert (result.outcome, result.exit_code) == ("crashed", 137)
