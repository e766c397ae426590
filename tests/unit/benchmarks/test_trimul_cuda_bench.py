"""The side of the CUDA benchmark that has torch is a program of its own, which says what it lacks."""

import sys

import pytest
import torch

from benchmarks.trimul_cuda.programs import TorchProcess


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_side_with_torch_says_so() -> None:
    with TorchProcess(sys.executable, 120) as gpu:
        assert "sees no GPU" in gpu.ask("device")["error"]
