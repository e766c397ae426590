"""Shared state of the tests in this process: DeepSpeed joins a process group once a process, and never
again."""

import pytest
import torch

from tests.parts.spelling import Speller, write_base
from trainer_service.training.engine import start_processes


@pytest.fixture(scope="session")
def engine_room():
    """This process as a training of one, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start_processes()
    yield
    torch.distributed.destroy_process_group()
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def speller(tmp_path_factory, engine_room):
    return Speller(write_base(tmp_path_factory.mktemp("spelling") / "base"))
