"""The cost of a batch: shared beginnings are read once, rows are as many as memory allows."""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agent_service.model_server.adapters import Adapters
from agent_service.model_server.decoding import memory
from agent_service.model_server.decoding.memory import Room
from agent_service.model_server.decoding.prefixes import Prefixes
from agent_service.model_server.decoding.rows import Row
from agent_service.model_server.engine import Engine
from agent_service.model_server.loading import LanguageModel, load_language_model
from agent_service.model_server.refusal import Refusal
from tests.unit.agent.model_server.asking import answers

SHARED = list(range(10, 70))  # 60 tokens
CPU = torch.device("cpu")


class Counted(Adapters):
    """Counts the places that the model reads, and has memory for so many rows."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.read, self.most_rows, self.batches = 0, 1000, list[int]()

    def forward(self, ids_BL: torch.Tensor, *rest: Any) -> torch.Tensor:
        self.read += ids_BL.numel()
        self.batches.append(len(ids_BL))
        if len(ids_BL) > self.most_rows:
            raise torch.OutOfMemoryError("as torch raises it on a GPU")
        return super().forward(ids_BL, *rest)


@pytest.fixture
def counted(base: Path) -> Iterator[tuple[Engine, Counted]]:
    language = load_language_model(base, CPU)
    adapters = Counted(language.model, "base", 2)
    engine = Engine(language, adapters)
    yield engine, adapters
    engine.close()


def ask(*tail: int, index: int = 0, model: str = "base") -> Row:
    return Row(model=model, prompt=[*SHARED, *tail], max_tokens=1, seed=1, index=index)


def test_a_beginning_that_prompts_share_is_read_once_and_not_again_in_the_next_batch(
    counted: tuple[Engine, Counted],
) -> None:
    engine, adapters = counted
    answers(engine, [ask(1, 2, 3), ask(4, 5, 6), ask(7, 8, 9), ask(7, 8, 9, index=1)])
    assert adapters.read == 60 + 3 * 3
    answers(engine, [ask(20, 21)])
    assert adapters.read == 60 + 3 * 3 + 2


def test_a_batch_s_time_is_shared_among_its_rows_while_they_last(counted: tuple[Engine, Counted]) -> None:
    engine, _ = counted
    started_s = time.perf_counter()
    short, *long = answers(engine, [ask(1), *(replace(ask(2, index=i), max_tokens=20) for i in range(2))])
    whole_s = time.perf_counter() - started_s
    assert 0 < short.device_s < long[0].device_s == long[1].device_s
    assert sum(answer.device_s for answer in (short, *long)) <= whole_s


def test_a_beginning_that_only_an_earlier_prompt_has_is_found_too(counted: tuple[Engine, Counted]) -> None:
    engine, adapters = counted
    for tail, read in ((5, 61), (6, 61), (7, 1), (8, 1)):  # kept from the second one on
        before = adapters.read
        answers(engine, [ask(tail)])
        assert adapters.read - before == read


def test_no_adapter_is_given_what_another_made_of_the_same_beginning(
    counted: tuple[Engine, Counted], adapters: dict[str, Path]
) -> None:
    engine, seen = counted
    (one, folder), (_, other) = adapters.items()
    engine.load_adapter(one, folder).result(timeout=60)
    before = seen.read
    answers(engine, [ask(1), ask(2), ask(1, model=one), ask(2, model=one)])
    assert seen.read - before == 2 * 60 + 4
    engine.unload_adapter(one).result(timeout=60)
    engine.load_adapter(one, other).result(timeout=60)
    before = seen.read
    answers(engine, [ask(1, model=one), ask(2, model=one)])
    assert seen.read - before == 60 + 2


def test_prompts_are_grouped_by_what_they_share_and_a_token_is_always_left() -> None:
    first, second = tuple(range(40)), tuple(range(100, 140))
    deep = (*first, *range(200, 240))
    prompts = [(*first, 1), (*first, 2), (*deep, 3), (*deep, 4), second, (*second, 5), (*second[:9], 6)]
    found = Prefixes().shared([("m", prompt) for prompt in prompts])
    assert [len(tokens) for _, tokens in found] == [40, 40, 80, 80, 39, 39, 0]
    assert all(prompt[: len(tokens)] == tokens for prompt, (_, tokens) in zip(prompts, found, strict=True))


def test_what_is_kept_is_bounded_and_the_least_used_goes_first() -> None:
    def beginning() -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(torch.zeros(1, 10, 1), torch.zeros(1, 10, 1))]  # 80 bytes

    prefixes = Prefixes(kept_bytes=200)
    keys = [("m", (number,)) for number in range(3)]
    prefixes.keep(keys[0], beginning())
    prefixes.keep(keys[1], beginning())
    assert prefixes.find(keys[0])
    prefixes.keep(keys[2], beginning())
    assert [prefixes.find(key) is not None for key in keys] == [True, False, True]


def test_a_batch_that_runs_out_of_memory_is_halved_once_and_later_ones_stay_smaller(
    counted: tuple[Engine, Counted], caplog: pytest.LogCaptureFixture
) -> None:
    engine, adapters = counted
    expected = [answer.tokens for answer in answers(engine, [ask(n, index=n) for n in range(8)])]
    adapters.most_rows = 4
    with caplog.at_level(logging.WARNING):
        again = answers(engine, [ask(n, index=n) for n in range(8)])
    assert [answer.tokens for answer in again] == expected
    assert "8 rows ran out of memory: at most 4 from now on" in caplog.text
    adapters.batches.clear()
    answers(engine, [ask(n, index=n) for n in range(8)])
    assert max(adapters.batches) == 4


def test_rows_that_do_not_fit_even_after_halving_are_refused_and_the_server_goes_on(
    counted: tuple[Engine, Counted],
) -> None:
    engine, adapters = counted
    adapters.most_rows = 1
    rows = [ask(n) for n in range(8)]
    engine.submit(rows)
    for row in rows:
        with pytest.raises(Refusal, match="more memory than there is") as refusal:
            row.future.result(timeout=60)
        assert refusal.value.status == 503
    adapters.most_rows = 1000
    assert answers(engine, [ask(1)])[0].tokens


def test_rows_fit_by_their_length_and_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token takes 1000 bytes, two and a half times; the scores 48 for each of 100 tokens of the vocabulary.
    100 tokens: 254,800 bytes; half of 2.6 million holds five of them, or two of 240 tokens."""
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2_600_000)
    room = Room(token_bytes=1000, vocab=100, device=CPU)
    short = [Row(model="m", prompt=[1] * 60, max_tokens=40, seed=0)] * 200
    long = [Row(model="m", prompt=[1] * 200, max_tokens=40, seed=0)] * 200
    assert room.fitting(short) == 5
    assert room.fitting(long) == 2
    assert room.fitting([*short[:2], *long]) == 2  # each is padded to the longest
    assert room.fitting([Row(model="m", prompt=[1] * 9000, max_tokens=40, seed=0)]) == 1
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1 << 40)
    assert room.fitting(short) == 96


def test_a_short_prompt_waits_for_the_next_batch_and_is_not_padded_to_a_long_one(
    counted: tuple[Engine, Counted],
) -> None:
    engine, adapters = counted
    lengths = (100, 10, 60, 12, 100)
    rows = [
        Row(model="base", prompt=[n + 1] * length, max_tokens=1, seed=1) for n, length in enumerate(lengths)
    ]
    assert all(answer.tokens for answer in answers(engine, rows))
    assert adapters.batches == [3, 2]
    assert adapters.read == 3 * 100 + 2 * 12


def test_the_caches_bytes_a_token_are_those_of_its_layers(language: LanguageModel) -> None:
    """Two layers, two key-value heads of eight numbers, keys and values, four bytes each."""
    assert language.token_bytes == 2 * 2 * 8 * 2 * 4
