"""Files that a box left behind, read by the trusted side: only plain ones, and not too large."""

import os
from pathlib import Path

import numpy as np
import pytest

from sandbox_service.failure import CandidateFailedError
from sandbox_service.toolchains.python.block import _run, check_shapes
from sandbox_service.toolchains.python.boxed_program import Job, read_outputs
from sandbox_service.verify.array_files import write_arrays
from shared.box.bubblewrap.box import BubblewrapBox
from shared.errors import BoxError
from shared.tasks.task import AttemptSection
from tests.parts.small_disk import small_disk


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(BubblewrapBox(), "f", tmp_path / "inputs", AttemptSection(candidate_memory_mb=64))


def outcome(job: Job, folder: Path) -> tuple[str, str]:
    with pytest.raises(CandidateFailedError) as caught:
        read_outputs(job, folder)
    return caught.value.outcome, caught.value.detail


def test_a_plain_file_of_arrays_is_read(job: Job, tmp_path: Path):
    with (tmp_path / "outputs").open("wb") as file:
        write_arrays(file, {"out": np.arange(3)})
    assert read_outputs(job, tmp_path)["out"].tolist() == [0, 1, 2]


def test_a_link_is_not_followed(job: Job, tmp_path: Path):
    (tmp_path / "outputs").symlink_to("/etc/passwd")
    assert outcome(job, tmp_path)[0] == "no_output"


def test_a_second_name_of_another_file_is_refused(job: Job, tmp_path: Path):
    (tmp_path / "secret").write_text("from outside")
    (tmp_path / "outputs").hardlink_to(tmp_path / "secret")
    assert outcome(job, tmp_path) == ("wrong", "outputs is not a plain file")


def test_a_pipe_is_refused_without_waiting_for_its_writer(job: Job, tmp_path: Path):
    os.mkfifo(tmp_path / "outputs")
    assert outcome(job, tmp_path) == ("wrong", "outputs is not a plain file")


def test_a_file_over_the_limit_is_refused_unread(job: Job, tmp_path: Path):
    with (tmp_path / "outputs").open("wb") as file:
        file.truncate((16 << 20) + 1)
    assert outcome(job, tmp_path) == ("over_limit", "outputs: more than 16384 kB")


def test_an_integer_output_of_the_right_shape_passes_the_check():
    check_shapes({"out": (2,)}, {"out": np.arange(2), "more": np.full(9, np.nan)})


def test_a_disk_that_others_outputs_have_filled_is_no_fault_of_the_verifier(job: Job, tmp_path: Path):
    with small_disk(tmp_path / "disk", "64k") as disk:
        (disk / "others").write_bytes(bytes(60 << 10))
        with pytest.raises(BoxError, match="No space left"):
            _run(job, "x" * 9000, disk / "0")
