"""Checks before a run is created: what would fail late (no compiler, no box, no ledger) fails at once."""

from __future__ import annotations

import math
import shutil

import typer

from sandbox_service.toolchains.cuda.compiler import find_nvcc
from shared.config.settings import LAST_S, RunConfig, StackParts, longest_reply_s
from shared.errors import SettingsError, ToolMissingError
from shared.tasks.task import Task


def require_parts(chosen: StackParts) -> None:
    """Raises an error for a ledger, store or broker of the user's that can't be used."""
    if chosen == StackParts():
        return
    from shared.bus.start_checks import check_parts

    for warning in check_parts(chosen):
        typer.echo(f"warning: {warning}", err=True)


def require_time(config: RunConfig, job_limit_s: float) -> None:
    """Raises SettingsError where one slow reply could take a whole job."""
    most_s = longest_reply_s(job_limit_s)
    limits_s = {"model": config.model.timeout_s, "advisor": config.advisor.timeout_s}
    for section, limit_s in limits_s.items():
        if limit_s > most_s:
            raise SettingsError(
                f"{section}.timeout_s is {limit_s:g}, and stack.job_limit_s leaves a reply {most_s:g}",
                f"set stack.job_limit_s={math.ceil(2 * limit_s + LAST_S)}",
            )


def require_tools(task: Task) -> None:
    """Raises ToolMissingError (no compiler) or BoxNotWholeError (a layer of the box is missing)."""
    from shared.box.open import open_box

    if task.manifest.toolchain == "c" and shutil.which("gcc") is None:
        raise ToolMissingError(
            f"task {task.name!r} compiles C, and gcc is not installed", "apt-get install gcc"
        )
    if task.manifest.toolchain == "cuda":
        _require_cuda(task)
    open_box()


def _require_cuda(task: Task) -> None:
    if find_nvcc() is None:
        raise ToolMissingError(
            f"task {task.name!r} compiles CUDA, and nvcc is not installed", "install the CUDA toolkit"
        )
    if absent := _absent_device():
        typer.echo(
            f"no device ({absent}): candidates compile and are checked on the CPU; they end as "
            "not_timed, which is never a score. On a machine with a GPU and pycuda the same run times "
            "and scores them.",
            err=True,
        )


def _absent_device() -> str:
    """Why nothing can be timed on a GPU here; empty where it can."""
    from sandbox_service.toolchains.cuda.process import CudaKernel, NoDeviceError

    try:
        with CudaKernel():
            return ""
    except NoDeviceError as error:
        return str(error)
