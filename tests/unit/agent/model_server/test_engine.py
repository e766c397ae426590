"""The model server's inside: batches and grammars on tiny random models, against plain transformers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from agent_service.model_server.adapters import Adapters
from agent_service.model_server.decoding.constrained import Grammars
from agent_service.model_server.decoding.rows import Row
from agent_service.model_server.engine import Engine
from agent_service.model_server.loading import LanguageModel, load_language_model
from agent_service.model_server.refusal import Refusal
from tests.parts.tiny_model import write_adapter, write_model
from tests.unit.agent.model_server.asking import PROMPTS, answers, expected_logprobs, row


def test_an_answer_hangs_on_seed_and_index_and_not_on_what_shares_its_batch(
    engine: Engine, language: LanguageModel, grammars: Grammars
) -> None:
    def wanted() -> list[Row]:
        plain = [row(language, PROMPTS[0], seed=5, index=i) for i in range(4)]
        return [*plain, row(language, PROMPTS[0], grammars, seed=5, index=9)]

    alone = [answers(engine, [each])[0].tokens for each in wanted()]
    others = [
        row(language, text, grammars, seed=s, index=i) for text in PROMPTS for s in (6, 7) for i in range(5)
    ]
    target = wanted()
    engine.submit([*others[:13], *target, *others[13:]])
    together = [each.future.result(timeout=60).tokens for each in target]
    assert together == alone
    assert len({tuple(tokens) for tokens in alone[:4]}) == 4


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2"])
def test_reported_log_probabilities_are_those_of_a_plain_forward_pass(kind: str, tmp_path: Path) -> None:
    """Left padding, forced tokens in one step, gaps in the cache, dropped rows, adapters: all cancel out."""
    base = write_model(tmp_path / kind, kind)
    adapter = write_adapter(tmp_path / "adapter", base, 3)
    language = load_language_model(base, torch.device("cpu"))
    grammars = Grammars(language.tokenizer, language.vocab, language.stop_tokens)
    engine = Engine(language, Adapters(language.model, "base", max_loras=1))
    engine.load_adapter("tuned", adapter).result(timeout=60)
    names = ("base", "tuned")
    rows = [
        row(language, text, grammars if i % 2 else None, index=i, model=name, max_tokens=9 + 17 * i)
        for name in names
        for text in PROMPTS
        for i in range(4)
    ]
    got = answers(engine, rows)
    engine.close()
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
    plain = AutoModelForCausalLM.from_pretrained(base).eval()
    for asked, answer in zip(rows, got, strict=True):
        model = plain if asked.model == "base" else tuned
        expected = expected_logprobs(model, list(asked.prompt), answer.tokens)
        assert answer.logprobs == pytest.approx(expected, abs=2e-4)
    assert {answer.finish for answer in got} == {"stop", "length"}


def test_a_schemas_answers_are_whole_compact_json_and_end_with_the_stop_token(
    engine: Engine, language: LanguageModel, grammars: Grammars
) -> None:
    rows = [row(language, text, grammars, index=i) for text in PROMPTS for i in range(12)]
    for answer in answers(engine, rows):
        text = language.tokenizer.decode(answer.tokens[:-1])
        value = json.loads(text)
        assert answer.tokens[-1] == language.tokenizer.eos_token_id
        assert answer.finish == "stop"
        assert text == json.dumps(value, separators=(",", ":"))
        assert list(value) == ["tile", "kind", "order", "fuse"]
        assert value["tile"] in (1, 8, 16, 32)
        assert len(answer.tokens) == len(answer.logprobs) == len(answer.free)


def test_tokens_are_free_where_the_schema_leaves_a_choice_and_nowhere_else(
    engine: Engine, language: LanguageModel, grammars: Grammars
) -> None:
    def free_text(schema: dict[str, Any]) -> list[str]:
        asked = row(language, PROMPTS[0])
        asked.grammar = grammars.start(schema)
        answer = answers(engine, [asked])[0]
        return [
            language.tokenizer.decode([t]) for t, free in zip(answer.tokens, answer.free, strict=True) if free
        ]

    assert free_text({"const": {"tile": 16}}) == []
    assert (
        free_text({"type": "object", "properties": {"t": {"const": "kij"}}, "required": ["t"]} | CLOSED) == []
    )
    choice = free_text({"type": "object", "properties": {"t": {"enum": [3, 5]}}, "required": ["t"]} | CLOSED)
    assert choice in (["3"], ["5"])
    assert all(answers(engine, [row(language, PROMPTS[0], max_tokens=5)])[0].free)


CLOSED = {"additionalProperties": False}


def test_a_schema_that_cannot_be_compiled_is_refused(grammars: Grammars) -> None:
    with pytest.raises(Refusal, match="can't be compiled"):
        grammars.start({"type": "nonsense"})


def test_an_answer_cut_off_by_max_tokens_says_length(
    engine: Engine, language: LanguageModel, grammars: Grammars
) -> None:
    for count in (1, 2, 7):
        answer = answers(engine, [row(language, PROMPTS[0], grammars, max_tokens=count)])[0]
        assert (len(answer.tokens), len(answer.logprobs), answer.finish) == (count, count, "length")


def test_prompt_log_probabilities_are_those_of_a_plain_forward_pass(
    engine: Engine, base: Path, adapters: dict[str, Path]
) -> None:
    name, folder = next(iter(adapters.items()))
    engine.load_adapter(name, folder).result(timeout=60)
    prompt = [9, 100, 101, 40, 7, 7]
    plain = AutoModelForCausalLM.from_pretrained(base).eval()
    got = engine.prompt_logprobs("base", prompt).result(timeout=60)
    assert got == pytest.approx(expected_logprobs(plain, prompt[:1], prompt[1:]), abs=1e-5)
    tuned = PeftModel.from_pretrained(plain, folder).eval()
    tuned_got = engine.prompt_logprobs(name, prompt).result(timeout=60)
    assert tuned_got == pytest.approx(expected_logprobs(tuned, prompt[:1], prompt[1:]), abs=1e-5)
    assert tuned_got != pytest.approx(got, abs=1e-2)


def test_a_cancelled_row_is_dropped_and_the_others_go_on(engine: Engine, language: LanguageModel) -> None:
    rows = [row(language, PROMPTS[0], index=i, max_tokens=120) for i in range(8)]
    engine.submit(rows)
    assert all(each.future.cancel() for each in rows[:4])
    assert all(each.future.result(timeout=60).tokens for each in rows[4:])
    assert answers(engine, [row(language, PROMPTS[0])])


def test_a_row_whose_grammar_breaks_is_refused_and_its_neighbours_go_on(
    engine: Engine, language: LanguageModel, grammars: Grammars
) -> None:
    broken, whole = (row(language, PROMPTS[0], grammars, index=i) for i in range(2))
    assert broken.grammar is not None
    with pytest.raises(Refusal, match="too much"):
        broken.grammar.take(language.tokenizer("}")["input_ids"][0])
    engine.submit([broken, whole])
    with pytest.raises(Refusal, match="too much"):
        broken.future.result(timeout=60)
    assert whole.future.result(timeout=60).finish == "stop"


def test_a_batch_that_breaks_fails_its_rows_and_not_the_thread(
    engine: Engine, language: LanguageModel
) -> None:
    broken = Row(model="base", prompt=[10**9], max_tokens=4, seed=1)
    engine.submit([broken])
    with pytest.raises(IndexError):
        broken.future.result(timeout=60)
    assert engine.alive
    assert answers(engine, [row(language, PROMPTS[0])])


def test_a_row_that_breaks_its_batch_fails_alone(engine: Engine, language: LanguageModel) -> None:
    whole = row(language, PROMPTS[0], max_tokens=4)
    broken = Row(model="base", prompt=[10**9] * len(whole.prompt), max_tokens=4, seed=1)
    engine.submit([broken, whole])
    with pytest.raises(IndexError):
        broken.future.result(timeout=60)
    assert whole.future.result(timeout=60).tokens


def test_more_rows_than_a_batch_holds_are_all_answered(engine: Engine, language: LanguageModel) -> None:
    rows = [row(language, PROMPTS[2], index=i, max_tokens=4) for i in range(230)]
    assert len(answers(engine, rows)) == 230


def test_closing_refuses_what_still_waits(base: Path) -> None:
    language = load_language_model(base, torch.device("cpu"))
    engine = Engine(language, Adapters(language.model, "base", max_loras=1))
    rows = [row(language, PROMPTS[1], index=i, max_tokens=30) for i in range(300)]
    engine.submit(rows)
    engine.close()
    assert all(each.future.done() for each in rows)
    with pytest.raises(Refusal, match="closing"):
        engine.submit(rows)
