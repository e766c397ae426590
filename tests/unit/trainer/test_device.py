"""The device of a training: a GPU that is there must be used, or the CPU asked for by name."""

import pytest
import torch

from shared.config.settings import load_config
from shared.errors import TrainingError
from trainer_service.child import NO_GPU
from trainer_service.training.device import check_device, choose_dtype, loss_scale


@pytest.mark.skipif(torch.cuda.is_available(), reason="here torch can use the GPU")
def test_a_gpu_that_torch_can_not_use_is_an_error_unless_the_cpu_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    check_device(tmp_path)  # there is none
    (tmp_path / "nvidiactl").write_text("")
    check_device(tmp_path)  # a driver without a device
    (tmp_path / "nvidia0").write_text("")
    with pytest.raises(TrainingError, match="nvidia0 is there, but torch can't use it") as refused:
        check_device(tmp_path)
    assert 'training.device = "cpu"' in str(refused.value.hint)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", NO_GPU["CUDA_VISIBLE_DEVICES"])
    check_device(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here half precision is the choice")
def test_on_a_cpu_precision_is_float32_unless_set():
    assert choose_dtype(load_config([{}]).training.precision) is torch.float32
    assert choose_dtype("bfloat16") is torch.bfloat16
    assert (loss_scale(torch.float16), loss_scale(torch.float32)) == (1024.0, 1.0)
