"""Fresh adapters lie on plain projections, whatever the architecture calls them."""

import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MixtralConfig, OPTConfig

from shared.config.settings import load_config
from shared.errors import SettingsError, TrainingError
from shared.store.store import LocalStore
from tests.parts.spelling import write_base
from trainer_service.base.base import base_bundle
from trainer_service.base.targets_check import check_targets
from trainer_service.training.targets import lora_targets

SIZES = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
ATTENTION = ["k_proj", "o_proj", "q_proj", "v_proj"]


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")  # PEFT warns of GPT-2's kind of layer
@pytest.mark.parametrize(
    ("config", "names"),
    [
        (LlamaConfig(**SIZES, intermediate_size=16), ["down_proj", "gate_proj", *ATTENTION, "up_proj"]),
        (MixtralConfig(**SIZES, intermediate_size=16, num_key_value_heads=2, num_local_experts=2), ATTENTION),
        (GPT2Config(vocab_size=32, n_embd=16, n_layer=1, n_head=2), ["c_attn", "c_fc", "c_proj"]),
        (
            OPTConfig(**SIZES, ffn_dim=16, word_embed_proj_dim=16),
            ["fc1", "fc2", "k_proj", "out_proj", "q_proj", "v_proj"],
        ),
    ],
    ids=["llama", "mixtral", "gpt2", "opt"],
)
def test_all_projections_but_the_head_and_fused_experts_are_adapted(config, names, tmp_path):
    base = AutoModelForCausalLM.from_config(config)
    base.save_pretrained(tmp_path)
    check_targets(tmp_path, names)  # the early check takes them all
    assert sorted(lora_targets(base)) == sorted(names)
    lora = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=lora_targets(base))
    adapted = [name for name in get_peft_model(base, lora).state_dict() if "lora_A" in name]
    assert not any("experts" in name or "head" in name for name in adapted)


def test_the_projections_that_are_named_are_taken_and_an_unknown_one_is_refused():
    base = AutoModelForCausalLM.from_config(LlamaConfig(**SIZES, intermediate_size=16))
    assert lora_targets(base, ("v_proj", "q_proj")) == ["q_proj", "v_proj"]
    with pytest.raises(TrainingError, match=r"has no w_pack \(its projections are down_proj"):
        lora_targets(base, ("q_proj", "w_pack"))


@pytest.mark.parametrize("wanted", ["w_pack", "embed_tokens", "lm_head", "weight"])
def test_a_projection_that_the_model_lacks_ends_the_run_before_anything_is_paid_for(wanted, tmp_path):
    base = write_base(tmp_path / "base")
    config = load_config([{"model": {"base": str(base)}, "training": {"lora_targets": ["q_proj", wanted]}}])
    told = rf"has no {wanted} \(its projections are down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj,"
    with pytest.raises(SettingsError, match=told):
        base_bundle(config, LocalStore(tmp_path / "store"), tmp_path / "cache")
