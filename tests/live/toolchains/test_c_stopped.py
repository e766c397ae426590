"""A kernel's process stays stopped: it has no call left that could wake it, and a program that runs while
another is timed fails, with the round done again.
"""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from sandbox_service.failure import CandidateFailedError
from sandbox_service.timed.block import Program, timed_round
from sandbox_service.timed.boxed_kernel import BoxedKernel
from sandbox_service.timed.kernel import Kernel, Quota
from sandbox_service.timed.kernel_sets import Stage, kernel_sets
from sandbox_service.toolchains.c.compiler import CCompiler
from sandbox_service.verify.layout import Arrays
from shared.box.open import open_box
from tests.parts.task_modules import load_module

TASK = Path(__file__).parent / "tiny_kernel"
WAKERS = Path(__file__).with_name("wakers.c")
ATTEMPTS = 22
HONEST = """
#include <stdint.h>
void tiny(const float *a, const float *b, float *out, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = a[i] * b[i] + a[i];
}
"""
OPENMP = HONEST.replace("    for", "#pragma omp parallel for\n    for")
INPUTS: Arrays = {
    "dims": np.array([1000], np.int64),
    "a": np.ones(1000, np.float32),
    "b": np.ones(1000, np.float32),
}


@pytest.fixture
def kernels(tmp_path: Path) -> Iterator[list[Kernel]]:
    """An honest one, one of two threads, and one that tries whatever could send it SIGCONT."""
    verifier, compiler = load_module(TASK, "verifier.py"), CCompiler(open_box(), tmp_path)
    sources = [HONEST, OPENMP, WAKERS.read_text()]
    made = compiler.libraries(sources, verifier.CALL, [*verifier.FLAGS, "-fopenmp"])
    libraries = [made[source].needed("kernel") for source in sources]
    quota = Quota(threads=2, memory_mb=512, cpu_s=60)
    stage = Stage(open_box(), compiler.driver(), quota, INPUTS, {"out": (1000,)})
    with closing(kernel_sets(stage, libraries[:1], libraries[1:])) as sets:
        found = next(sets)
        for kernel in found:
            kernel.load(10.0)
            kernel.fill(INPUTS)
        yield found


def _wake(kernel: Kernel) -> None:
    assert isinstance(kernel, BoxedKernel)
    assert kernel._pid_handle is not None
    signal.pidfd_send_signal(kernel._pid_handle, signal.SIGCONT)


def test_a_kernel_has_no_call_that_could_wake_it_and_threads_work(kernels: list[Kernel]) -> None:
    for kernel in kernels:
        assert kernel.run(10.0) > 0

    assert (kernels[1].outputs()["out"] == 2).all()
    tried = kernels[2].outputs()["out"]
    assert np.flatnonzero(tried[:ATTEMPTS]).tolist() == []
    assert (tried[ATTEMPTS:] == 2).all()


def test_a_loaded_kernel_s_memory_has_no_name_so_a_killed_verifier_leaves_none_behind(
    kernels: list[Kernel],
) -> None:
    arenas = [kernel._arena for kernel in kernels if isinstance(kernel, BoxedKernel)]

    assert len(arenas) == len(kernels)
    assert [arena.path for arena in arenas if arena.path.exists()] == []
    assert kernels[0].run(10.0) > 0
    assert (kernels[0].outputs()["out"] == 2).all()


def test_the_attempts_are_real_for_they_work_without_the_drivers_filter(tmp_path: Path) -> None:
    program = str(tmp_path / "wakers")
    subprocess.run(["gcc", "-O2", str(WAKERS), "-o", program], check=True)
    tried = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()

    assert tried == ["1"] * len(tried)
    assert len(tried) == ATTEMPTS


def test_a_program_that_runs_while_another_is_timed_fails_and_the_round_is_done_again(
    kernels: list[Kernel],
) -> None:
    programs = [Program(kernel) for kernel in kernels]
    assert timed_round(programs, [0, 1, 2], INPUTS, 10.0) is not None

    _wake(kernels[2])

    assert timed_round(programs, [0, 1, 2], INPUTS, 10.0) is None
    assert [len(program.seconds) for program in programs] == [1, 1, 1]
    assert [program.failure is None for program in programs] == [True, True, False]
    assert programs[2].failure is not None
    assert "stay stopped" in programs[2].failure.detail
    assert timed_round(programs, [0, 1, 2], INPUTS, 10.0) is not None
    assert [len(program.seconds) for program in programs] == [2, 2, 1]
    with pytest.raises(CandidateFailedError):
        kernels[2].run(1.0)  # it was killed
