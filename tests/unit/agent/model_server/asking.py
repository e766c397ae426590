"""Requests of the tests to an engine, and plain transformers' answers to them."""

from typing import Any

import torch

from agent_service.model_server.decoding.constrained import Grammars
from agent_service.model_server.decoding.rows import Answer, Row
from agent_service.model_server.engine import Engine
from agent_service.model_server.loading import LanguageModel

SCHEMA = {
    "type": "object",
    "properties": {
        "tile": {"enum": [1, 8, 16, 32]},
        "kind": {"const": "blocked"},
        "order": {"enum": ["ijk", "ikj", "kij"]},
        "fuse": {"type": "boolean"},
    },
    "required": ["tile", "kind", "order", "fuse"],
    "additionalProperties": False,
}
PROMPTS = [
    "pick a tile",
    "pick an order and a tile for this long, long shape, please; and do it well " * 2,
    "x",
]


def row(language: LanguageModel, text: str, grammars: Grammars | None = None, **settings: Any) -> Row:
    grammar = grammars.start(SCHEMA) if grammars else None
    settings = dict[str, Any](model="base", max_tokens=60, seed=1) | settings
    return Row(prompt=language.tokenizer(text)["input_ids"], grammar=grammar, **settings)


def answers(engine: Engine, rows: list[Row]) -> list[Answer]:
    engine.submit(rows)
    return [row.future.result(timeout=60) for row in rows]


def expected_logprobs(model: Any, prompt: list[int], tokens: list[int]) -> list[float]:
    """Plain transformers' log-probabilities of these tokens after this prompt: no batch, no cache, no
    padding."""
    ids = torch.tensor([[*prompt, *tokens]])
    with torch.no_grad():
        scores = model(input_ids=ids).logits[0].log_softmax(dim=-1)
    return [float(scores[len(prompt) - 1 + i, token]) for i, token in enumerate(tokens)]
