"""Beginnings that prompts share (a harness asks everything after the same words) are read once: within a
batch, and from one batch to the next. Kept by model name and tokens; a name always stands for the same
weights.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

from agent_service.model_server.decoding.cache import Beginning

LEAST_TOKENS = 32  # a shorter beginning, or a shorter gain over one, is not worth a pass of its own
RECENT_PROMPTS = 64  # earlier prompts that a new one is compared with
KEPT_BYTES = 1 << 28

Prompt = tuple[str, tuple[int, ...]]  # model name, tokens


class Prefixes:
    """Used by the model's thread only."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._left_bytes = kept_bytes
        self._kept: OrderedDict[Prompt, Beginning] = OrderedDict()
        self._recent: deque[Prompt] = deque(maxlen=RECENT_PROMPTS)

    def shared(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """The beginning of each prompt that others of these, or of the recent ones, have too. It may be
        empty, and always leaves a token to read."""
        here = set(prompts)
        others = [prompt for prompt in self._recent if prompt not in here]
        self._recent.extend(prompt for prompt in prompts if prompt not in self._recent)
        lengths = dict.fromkeys(prompts, 0)
        for name in {name for name, _ in prompts}:
            same = [tokens for other, tokens in [*prompts, *others] if other == name]
            for tokens, length in _shared_lengths(same).items():
                lengths[name, tokens] = length
        return [(name, tokens[: lengths[name, tokens]]) for name, tokens in prompts]

    def find(self, prefix: Prompt) -> Beginning | None:
        if prefix not in self._kept:
            return None
        self._kept.move_to_end(prefix)
        return self._kept[prefix]

    def keep(self, prefix: Prompt, beginning: Beginning) -> None:
        """The least used ones make room for it."""
        self._kept[prefix] = beginning
        self._left_bytes -= _size_bytes(beginning)
        while self._left_bytes < 0:
            _, dropped = self._kept.popitem(last=False)
            self._left_bytes += _size_bytes(dropped)

    def forget(self, name: str) -> None:
        """Of an adapter that is unloaded."""
        for prefix in [prefix for prefix in self._kept if prefix[0] == name]:
            self._left_bytes += _size_bytes(self._kept.pop(prefix))


def _shared_lengths(prompts: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
    """How many tokens of each prompt to read together with others: groups that agree in their first tokens,
    cut into smaller ones where those agree in many more."""
    lengths = dict.fromkeys(prompts, 0)
    groups = [(list(prompts), 0)]
    while groups:
        group, known = groups.pop()
        if len(group) < 2:
            continue
        shared = _common(group)
        gains = shared - known >= LEAST_TOKENS
        for prompt in group:
            if gains:
                lengths[prompt] = shared
        following: dict[int, list[tuple[int, ...]]] = {}
        for prompt in group:
            if len(prompt) > shared + 1:
                following.setdefault(prompt[shared], []).append(prompt)
        groups += [
            (part, shared if gains else known) for part in following.values() if len(part) < len(group)
        ]
    return lengths


def _common(prompts: Sequence[tuple[int, ...]]) -> int:
    """Tokens that all have at their start, at least one short of the shortest."""
    first, last = min(prompts), max(prompts)
    most = min(len(prompt) for prompt in prompts) - 1
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b or i >= most), most)


def _size_bytes(beginning: Beginning) -> int:
    return sum(part.numel() * part.element_size() for layer in beginning for part in layer)
