"""Runs a candidate on counts of ours, for pictures and benchmarks: in the box, like every candidate."""

import tempfile
from pathlib import Path

import numpy as np

from sandbox_service.toolchains.python.boxed_program import Job, read_outputs, run_program
from sandbox_service.verify.array_files import write_arrays
from shared.box.open import open_box
from shared.tasks.task import load_task

LIMITS = load_task(str(Path(__file__).parent)).manifest.attempt


def denoised(content, counts):
    """What it makes of the counts, dense. Raises CandidateFailedError, its text fit for a person."""
    found = outputs(content, counts)[0]["out"]
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found)


def outputs(content, counts):
    """(all that it returned, seconds)."""
    with tempfile.TemporaryDirectory(prefix="ratchet-python-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o711)
        with (folder / "inputs").open("wb") as file:
            write_arrays(file, {"counts": counts})
        job = Job(open_box(), "denoise", folder / "inputs", LIMITS)
        (folder / "run").mkdir(mode=0o711)
        seconds = run_program(job, content, folder / "run")
        return read_outputs(job, folder / "run"), seconds
