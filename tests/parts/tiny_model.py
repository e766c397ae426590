"""Tiny random models, their tokenizer and LoRA adapters, in the layouts that the model server reads. Not a
test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

TEMPLATE = "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}<s>assistant: "
TEXT = [
    '{"tile":16,"order":"ijk","fuse":true}',
    "pick a tile and an order for this shape",
    '{"order":"kij","tile":8}',
]


def write_model(folder: Path, kind: str = "llama") -> Path:
    """A random model with weights large enough that its answers hang on its prompt."""
    tokenizer = tiny_tokenizer()
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(
        _config(kind, len(tokenizer) + 3)
    )  # logits wider than the vocabulary
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_adapter(folder: Path, base: Path, seed: int, **settings: Any) -> Path:
    """A LoRA adapter whose B is random too, so that it changes the answers."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    is_gpt2 = model.config.model_type == "gpt2"
    targets = ["c_attn"] if is_gpt2 else ["q_proj", "v_proj", "up_proj"]
    config = {"r": 4, "lora_alpha": 8, "target_modules": targets, "fan_in_fan_out": is_gpt2} | settings
    adapter = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **config))
    for name, parameter in adapter.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapter.save_pretrained(folder)
    return folder


def tiny_tokenizer(**settings: Any) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "</s>", "<s>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    bpe.train_from_iterator(TEXT * 20, trainer)
    named = {
        "eos_token": "</s>",
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "chat_template": TEMPLATE,
    } | settings
    return PreTrainedTokenizerFast(tokenizer_object=bpe, **named)


def _config(kind: str, vocab: int) -> Any:
    ids = {"vocab_size": vocab, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    if kind == "gpt2":
        return GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=256, **ids)
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "max_position_embeddings": 256,
    }
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    return (Qwen2Config if kind == "qwen2" else LlamaConfig)(**sizes, **heads, **ids)
