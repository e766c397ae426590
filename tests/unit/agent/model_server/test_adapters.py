"""Adapters in the model server's engine: each row gets its own, and a bad one changes nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from agent_service.model_server.engine import Engine
from agent_service.model_server.loading import LanguageModel
from agent_service.model_server.refusal import Refusal
from tests.parts.tiny_model import write_adapter
from tests.unit.agent.model_server.asking import PROMPTS, answers, row


def test_rows_of_two_adapters_and_the_base_in_one_batch_answer_as_each_alone(
    engine: Engine, language: LanguageModel, adapters: dict[str, Path]
) -> None:
    for name, folder in adapters.items():
        engine.load_adapter(name, folder).result(timeout=60)
    names = ["base", *adapters]
    alone = {name: answers(engine, [row(language, PROMPTS[1], model=name)])[0] for name in names}
    assert len({tuple(answer.tokens) for answer in alone.values()}) == 3
    mixed = [row(language, PROMPTS[1], model=name) for name in [*names, *reversed(names)]]
    for asked, answer in zip(mixed, answers(engine, mixed), strict=True):
        assert answer.tokens == alone[asked.model].tokens
        assert answer.logprobs == pytest.approx(alone[asked.model].logprobs, abs=1e-4)


def test_an_unknown_adapter_is_refused_and_never_answered_by_the_base(
    engine: Engine, language: LanguageModel
) -> None:
    unknown, known = row(language, PROMPTS[0], model="nobody"), row(language, PROMPTS[0])
    engine.submit([unknown, known])
    with pytest.raises(Refusal, match="nobody") as refusal:
        unknown.future.result(timeout=60)
    assert refusal.value.status == 404
    assert known.future.result(timeout=60).tokens


def test_unloading_waits_for_what_was_asked_before_and_refuses_what_comes_after(
    engine: Engine, language: LanguageModel, adapters: dict[str, Path]
) -> None:
    name, folder = next(iter(adapters.items()))
    loading = engine.load_adapter(name, folder)
    before = [row(language, text, model=name, index=i) for text in PROMPTS for i in range(40)]
    engine.submit(before)
    unloading = engine.unload_adapter(name)
    after = row(language, PROMPTS[0], model=name)
    engine.submit([after])
    base_too = row(language, PROMPTS[0])
    engine.submit([base_too])
    assert loading.result(timeout=60) is None
    assert all(each.future.result(timeout=60).tokens for each in before)
    assert unloading.result(timeout=60) is None
    with pytest.raises(Refusal, match="no model"):
        after.future.result(timeout=60)
    assert base_too.future.result(timeout=60).tokens
    assert engine.model_names() == ["base"]


def test_the_base_answers_as_before_once_all_adapters_are_gone(
    engine: Engine, language: LanguageModel, adapters: dict[str, Path]
) -> None:
    before = engine.prompt_logprobs("base", [5, 6, 7, 8]).result(timeout=60)
    for _ in range(2):
        for name, folder in adapters.items():
            engine.load_adapter(name, folder).result(timeout=60)
        assert engine.prompt_logprobs("base", [5, 6, 7, 8]).result(timeout=60) == pytest.approx(
            before, abs=1e-6
        )
        for name in adapters:
            engine.unload_adapter(name).result(timeout=60)
        assert engine.prompt_logprobs("base", [5, 6, 7, 8]).result(timeout=60) == pytest.approx(
            before, abs=1e-6
        )


def test_a_name_is_loaded_once_and_never_given_to_another_folder(
    engine: Engine, adapters: dict[str, Path]
) -> None:
    one, two = adapters.values()
    for _ in range(2):
        engine.load_adapter("a", one).result(timeout=60)
    assert engine.model_names() == ["base", "a"]
    for name, folder in (("a", two), ("base", one)):
        with pytest.raises(Refusal, match="taken"):
            engine.load_adapter(name, folder).result(timeout=60)


def test_no_more_adapters_are_loaded_than_fit(engine: Engine, adapters: dict[str, Path]) -> None:
    for name in ("a", "b", "c"):
        engine.load_adapter(name, adapters["run.x-g1"]).result(timeout=60)
    with pytest.raises(Refusal, match="3 adapters are loaded"):
        engine.load_adapter("d", adapters["run.x-g1"]).result(timeout=60)
    engine.unload_adapter("b").result(timeout=60)
    engine.load_adapter("d", adapters["run.x-g1"]).result(timeout=60)


def test_an_empty_list_of_parameters_as_peft_writes_it_for_experts_is_plain_lora(
    engine: Engine, base: Path, tmp_path: Path
) -> None:
    folder = write_adapter(tmp_path / "adapter", base, 1)
    _set(folder, target_parameters=[])
    engine.load_adapter("a", folder).result(timeout=60)
    _set(folder, target_parameters=["mlp.experts"])
    with pytest.raises(Refusal, match="unsupported: target_parameters"):
        engine.load_adapter("b", folder).result(timeout=60)


def _spoil_nan(folder: Path) -> None:
    weights = load_file(folder / "adapter_model.safetensors")
    next(iter(weights.values()))[0, 0] = float("nan")
    save_file(weights, folder / "adapter_model.safetensors")


def _spoil_shape(folder: Path) -> None:
    weights = load_file(folder / "adapter_model.safetensors")
    key = next(iter(weights))
    weights[key] = weights[key][:, :-1].contiguous()
    save_file(weights, folder / "adapter_model.safetensors")


def _drop_tensor(folder: Path) -> None:
    weights = load_file(folder / "adapter_model.safetensors")
    weights.pop(next(iter(weights)))
    save_file(weights, folder / "adapter_model.safetensors")


def _set(folder: Path, **settings: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


SPOILERS: dict[str, Callable[[Path], object]] = {
    "is not finite": _spoil_nan,
    "size mismatch": _spoil_shape,
    "is missing or too much": _drop_tensor,
    "adapter_config.json can't be read": lambda folder: (folder / "adapter_config.json").unlink(),
    "adapter_model.safetensors can't be read": lambda folder: (
        folder / "adapter_model.safetensors"
    ).write_bytes(b"x"),
    "ranks must lie in": lambda folder: _set(folder, r=100_000),
    "unsupported: use_dora": lambda folder: _set(folder, use_dora=True),
    "unsupported: init_lora_weights": lambda folder: _set(folder, init_lora_weights="pissa"),
    "no LoRA adapter": lambda folder: _set(folder, peft_type="IA3"),
    "does not fit the base model": lambda folder: _set(folder, target_modules=["no_such_module"]),
}


@pytest.mark.parametrize("reason", SPOILERS)
@pytest.mark.parametrize("others", [0, 1])
def test_a_bad_adapter_is_refused_and_leaves_the_model_as_it_was(
    engine: Engine, base: Path, adapters: dict[str, Path], tmp_path: Path, reason: str, others: int
) -> None:
    prompt = [9, 100, 101, 40]
    bad = write_adapter(tmp_path / "bad", base, 4)
    SPOILERS[reason](bad)
    if others:
        engine.load_adapter("good", adapters["run.x-g1"]).result(timeout=60)
    names = engine.model_names()
    before = [engine.prompt_logprobs(name, prompt).result(timeout=60) for name in names]
    with pytest.raises(Refusal, match=reason):
        engine.load_adapter("bad", bad).result(timeout=60)
    assert engine.model_names() == names
    for name, logprobs in zip(names, before, strict=True):
        assert engine.prompt_logprobs(name, prompt).result(timeout=60) == pytest.approx(logprobs, abs=1e-6)
    engine.load_adapter("next", adapters["run.x-g2"]).result(timeout=60)
