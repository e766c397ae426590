"""Answers held to a JSON schema by llguidance, in compact form (no white space). Where the schema leaves one
text only, its tokens are forced without asking the model, in the tokenizer's own spelling; elsewhere a mask
allows the tokens that may follow.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from copy import copy
from threading import Lock
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from numpy.typing import NDArray

from agent_service.model_server.refusal import Refusal

COMPACT = {"whitespace_flexible": False}
CACHED_SCHEMAS = 64


class Grammar:
    """One row's place in its schema. `opening`: what must come before anything is sampled."""

    def __init__(self, matcher: LLMatcher, stop_token: int) -> None:
        """At the start of an answer, where `matcher` is."""
        self._matcher = matcher
        self._stop_token = stop_token
        self.opening = self._forced()

    def copy(self) -> Grammar:
        """A copy to continue from here; this one stays as it is."""
        other = copy(self)
        other._matcher, other.opening = self._matcher.deep_copy(), list(self.opening)
        return other

    def allowed_V(self) -> NDArray[np.bool_]:
        """Which tokens may follow now."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        return np.unpackbits(bits, bitorder="little").astype(np.bool_)

    def take(self, token: int) -> list[int]:
        """Advance past a sampled token; returns the tokens that it forces. Raises Refusal where the schema
        asks too much."""
        if token == self._stop_token:
            self._check()  # a broken grammar allows nothing else: that is no whole answer
            return []
        self._matcher.consume_token(token)
        return self._forced()

    def _forced(self) -> list[int]:
        """The tokens that must come now, taken at once; the stop token when the text is whole."""
        tokens: list[int] = self._matcher.compute_ff_tokens()
        self._matcher.consume_tokens(tokens)
        self._check()
        return [*tokens, self._stop_token] if self._matcher.is_stopped() else tokens

    def _check(self) -> None:
        if self._matcher.is_error():  # it met a limit of llguidance, and stays in this state
            raise Refusal(f"the schema is too much: {self._matcher.get_error().splitlines()[0]}")


class Grammars:
    """Compiles schemas, and keeps the latest ones. May be used from any thread."""

    def __init__(self, tokenizer: Any, vocab: int, stop_tokens: Sequence[int]) -> None:
        self._tokenizer: LLTokenizer = from_tokenizer(tokenizer, n_vocab=vocab, eos_token=list(stop_tokens))
        self._stop_token = stop_tokens[0]
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = Lock()

    def start(self, schema: dict[str, Any]) -> Grammar:
        """A fresh Grammar for one row. Raises Refusal for a schema that llguidance can't compile."""
        text = json.dumps(schema)  # in its own key order: that is the order of the answer
        with self._lock:
            matcher = self._compiled.get(text) or self._compile(text)
            self._compiled[text] = matcher
            self._compiled.move_to_end(text)
            if len(self._compiled) > CACHED_SCHEMAS:
                self._compiled.popitem(last=False)
            return Grammar(matcher.deep_copy(), self._stop_token)

    def _compile(self, schema: str) -> LLMatcher:
        matcher = LLMatcher(
            self._tokenizer, LLMatcher.grammar_from_json_schema(schema, overrides=COMPACT), log_level=0
        )
        if matcher.is_error():
            raise Refusal(f"the schema can't be compiled: {matcher.get_error().splitlines()[0]}")
        return matcher
