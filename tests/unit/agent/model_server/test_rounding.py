"""A model whose products are in bfloat16 answers nearly as the exact one, with adapters too."""

import copy
from pathlib import Path

import pytest
import torch

from agent_service.model_server.adapters import Adapters
from agent_service.model_server.loading import load_language_model
from agent_service.model_server.rounding import RoundedLinear, round_products
from tests.parts.tiny_model import write_model


@pytest.mark.parametrize("kind", ["llama", "qwen2"])  # without and with biases
def test_logprobs_are_those_of_the_exact_model_up_to_rounding(tmp_path: Path, kind: str) -> None:
    exact = load_language_model(write_model(tmp_path, kind), torch.device("cpu")).model
    rounded = copy.deepcopy(exact)
    round_products(rounded)
    ids_1L = torch.arange(3, 40)[None]
    with torch.inference_mode():
        expected, found = (m(input_ids=ids_1L).logits.log_softmax(-1) for m in (exact, rounded))
    assert found.dtype == torch.float32
    assert 0 < float((found - expected).abs().max()) < 0.2
    assert type(rounded.get_output_embeddings()) is torch.nn.Linear
    inner = rounded.model.layers[0].mlp.down_proj
    assert isinstance(inner, RoundedLinear)
    assert inner.weight.dtype == torch.bfloat16


def test_rows_of_several_adapters_stay_apart_and_adapters_stay_exact(
    adapters: dict[str, Path], base: Path
) -> None:
    names = ["base", *adapters]
    ids_BL = torch.arange(3, 12).repeat(len(names), 1)
    positions_BL = torch.arange(ids_BL.shape[1]).expand_as(ids_BL)
    found = []
    for rounded in (False, True):
        model = load_language_model(base, torch.device("cpu")).model
        if rounded:
            round_products(model)
        served = Adapters(model, "base", max_loras=3)
        for name, folder in adapters.items():
            served.load(name, folder)
        assert served.mixes
        with torch.inference_mode():
            logits_BLV = served.forward(ids_BL, torch.ones_like(ids_BL), positions_BL, None, names, 1)
        found.append(logits_BLV[:, -1].log_softmax(-1))
    exact_BV, rounded_BV = found
    assert float((exact_BV - rounded_BV).abs().max()) < 0.3 < float((exact_BV[0] - exact_BV[1]).abs().max())
    lora = [weight for name, weight in model.named_parameters() if "lora_" in name]
    assert {weight.dtype for weight in lora} == {torch.float32}
