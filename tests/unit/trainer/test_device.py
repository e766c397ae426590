"""The device of a training: a GPU that is there must be used, or the CPU asked for by name."""

import json

import pytest
import torch

from shared.config.settings import load_config
from shared.errors import TrainingError
from trainer_service.child import NO_GPU
from trainer_service.specs import TrainSpec
from trainer_service.training.device import check_device, choose_precision, loss_scale


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
def test_on_a_cpu_the_base_stays_float32_and_its_products_are_bfloat16_where_that_pays(tmp_path):
    def chosen(hidden, instructions, precision, zero_stage=0):
        (tmp_path / "config.json").write_text(json.dumps({"hidden_size": hidden}))
        spec = TrainSpec.model_construct(base=tmp_path, precision=precision, zero_stage=zero_stage)
        (tmp_path / "cpuinfo").write_text(
            f"processor\t: 0\nflags\t\t: fpu sse {instructions}\n\nprocessor\t: 1\n"
        )
        found = choose_precision(spec, tmp_path / "cpuinfo")
        return found.base, found.products, found.name

    full = (torch.float32, torch.float32, "float32")
    half = (torch.float32, torch.bfloat16, "bfloat16")
    assert chosen(2048, "avx512_f avx512_bf16", load_config([{}]).training.precision) == half
    assert chosen(2048, "amx_bf16", "auto") == half
    assert chosen(2048, "avx512_f", "auto") == full
    assert chosen(128, "avx512_bf16", "auto") == full
    assert chosen(2048, "avx512_bf16", "float32") == full
    assert chosen(128, "avx512_f", "bfloat16") == half
    assert chosen(2048, "avx512_bf16", "auto", zero_stage=3) == full
    assert chosen(2048, "avx512_f", "bfloat16", zero_stage=3) == (torch.bfloat16, torch.bfloat16, "bfloat16")


def test_a_loss_in_float16_is_scaled_so_that_small_gradients_are_not_lost():
    assert (loss_scale(torch.float16), loss_scale(torch.float32)) == (1024.0, 1.0)
