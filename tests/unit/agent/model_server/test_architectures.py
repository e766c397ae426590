"""Checkpoints as they come: what is served answers as transformers does, the rest is refused at once."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma3TextConfig,
    GPTNeoConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    OPTConfig,
    PreTrainedConfig,
)

from agent_service.model_server.adapters import Adapters
from agent_service.model_server.decoding.rows import Row
from agent_service.model_server.engine import Engine
from agent_service.model_server.loading import load_language_model
from agent_service.model_server.prompts import Prompter
from agent_service.model_server.schemas import ChatRequest
from shared.errors import SettingsError
from tests.parts.tiny_model import tiny_tokenizer
from tests.unit.agent.model_server.asking import answers, expected_logprobs
from trainer_service.training.targets import lora_targets

CPU = torch.device("cpu")
IDS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2, "vocab_size": 310}
SIZES = IDS | {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
FEED = {"intermediate_size": 64, "num_key_value_heads": 2, "max_position_embeddings": 256}
CONFIGS = {
    "windows in all layers": (MistralConfig(**SIZES, **FEED, sliding_window=64), 64),
    "windows in some layers": (
        Gemma3TextConfig(
            **SIZES, **FEED, head_dim=8, sliding_window=48,
            layer_types=["sliding_attention", "full_attention"],
        ),
        48,
    ),
    "windows under an older name": (
        GPTNeoConfig(
            **IDS, hidden_size=32, num_layers=2, num_heads=4, max_position_embeddings=256, window_size=48,
            attention_types=[[["global", "local"], 1]],
        ),
        48,
    ),
    "fused experts": (
        MixtralConfig(**SIZES, **FEED, num_local_experts=4, num_experts_per_tok=2, sliding_window=None),
        256,
    ),
    "no position embeddings": (BloomConfig(**IDS, hidden_size=32, n_layer=2, n_head=4), 2048),
    "rows laid end to end": (
        OPTConfig(
            **SIZES, ffn_dim=64, max_position_embeddings=256, word_embed_proj_dim=32,
        ),
        256,
    ),
}  # fmt: skip


def write(folder: Path, config: PreTrainedConfig, **tokenizer: Any) -> Path:
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    model.save_pretrained(folder)
    tiny_tokenizer(**tokenizer).save_pretrained(folder)
    return folder


def write_lora(folder: Path, base: Path) -> Path:
    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=lora_targets(model))
    tuned = get_peft_model(model, config)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    tuned.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", CONFIGS)
def test_log_probabilities_are_those_of_a_plain_pass_on_every_architecture_that_is_served(
    kind: str, tmp_path: Path
) -> None:
    """Two models by name, prompts of unequal length, two of them with one beginning of 33 tokens."""
    config, context = CONFIGS[kind]
    base = write(tmp_path / "base", config)
    folder = write_lora(tmp_path / "adapter", base)
    language = load_language_model(base, CPU)
    assert language.context == context
    engine = Engine(language, Adapters(language.model, "base", max_loras=1))
    engine.load_adapter("tuned", folder).result(timeout=60)
    prompts = [[5, 6, 7], [*range(10, 43), 50], [*range(10, 43), 60, 61, 62], [9] * 20]
    rows = [
        Row(model=name, prompt=prompt, max_tokens=8, seed=1)
        for prompt in prompts
        for name in ("base", "tuned")
    ]
    got = answers(engine, rows)
    engine.close()
    plain = AutoModelForCausalLM.from_pretrained(base).eval()
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).eval()
    for asked, answer in zip(rows, got, strict=True):
        expected = expected_logprobs(
            plain if asked.model == "base" else tuned, list(asked.prompt), answer.tokens
        )
        assert answer.logprobs == pytest.approx(expected, abs=2e-4)


def test_layers_without_attention_are_refused_with_their_kind(tmp_path: Path) -> None:
    config = MambaConfig(**IDS, hidden_size=32, num_hidden_layers=2, state_size=8)
    folder = write(tmp_path / "mamba", config)
    with pytest.raises(SettingsError, match="layers of the kind linear_attention are not served"):
        load_language_model(folder, CPU)


def test_a_model_that_counts_places_instead_of_tokens_is_refused(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an architecture does that computes positions from the cache's length."""
    from transformers import LlamaModel

    plain = LlamaModel.forward

    def counting_places(self: Any, *args: Any, position_ids: Any = None, **kwargs: Any) -> Any:
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(LlamaModel, "forward", counting_places)
    with pytest.raises(SettingsError, match=r"LlamaForCausalLM can't be served here: .* off by"):
        load_language_model(base, CPU)


def test_a_folder_that_is_no_model_or_of_an_unknown_architecture_is_refused(
    base: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="no model folder"):
        load_language_model(tmp_path / "nowhere", CPU)
    odd = tmp_path / "odd"
    odd.mkdir()
    for path in base.iterdir():
        (odd / path.name).write_bytes(path.read_bytes())
    config = json.loads((odd / "config.json").read_text()) | {"model_type": "unheard"}
    (odd / "config.json").write_text(json.dumps(config))
    with pytest.raises(SettingsError, match="odd can't be loaded"):
        load_language_model(odd, CPU)


def test_a_tokenizer_without_template_or_pad_token_gets_a_plain_template(tmp_path: Path) -> None:
    config = CONFIGS["rows laid end to end"][0]
    language = load_language_model(write(tmp_path / "base", config, chat_template=None, pad_token=None), CPU)
    messages = [{"role": "system", "content": "be short"}, {"role": "user", "content": "pick a tile"}]
    request = ChatRequest.model_validate({"model": "base", "messages": messages, "max_tokens": 2})
    [row] = Prompter(language).chat_rows(request)
    assert language.tokenizer.decode(row.prompt) == "System: be short\n\nUser: pick a tile\n\nAssistant:"
