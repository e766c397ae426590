"""The key-value cache of one batch. transformers' own copies everything for each token; this one keeps
spare room and copies when that is full, can keep, drop or repeat rows, and can start from beginnings that
were read before.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers.cache_utils import Cache, DynamicLayer

SPARE_TOKENS = 64

Beginning = list[tuple[torch.Tensor, torch.Tensor]]  # of one row: keys and values of each layer, axes HTD


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values: `keys` and `values` are views of the filled part of larger buffers."""

    keys: torch.Tensor
    values: torch.Tensor
    _key_room: torch.Tensor
    _value_room: torch.Tensor

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._filled = 0
        start, self._filled = self._filled, self._filled + key_states.shape[-2]
        if start == 0 or self._filled > self._key_room.shape[-2]:
            self._key_room = _larger(self.keys, key_states, self._filled)
            self._value_room = _larger(self.values, value_states, self._filled)
        self._key_room[..., start : self._filled, :] = key_states
        self._value_room[..., start : self._filled, :] = value_states
        self.keys = self._key_room[..., : self._filled, :]
        self.values = self._value_room[..., : self._filled, :]
        return self.keys, self.values

    def select(self, rows: torch.Tensor) -> None:
        self._key_room = _room(self.keys, len(rows), self._filled)
        self._value_room = _room(self.values, len(rows), self._filled)
        self.keys = torch.index_select(self.keys, 0, rows, out=self._key_room[..., : self._filled, :])
        self.values = torch.index_select(self.values, 0, rows, out=self._value_room[..., : self._filled, :])


def new_cache() -> Cache:
    return Cache(layer_class_to_replicate=RoomyLayer)


def cache_of(beginnings: Sequence[Beginning | None], width: int) -> Cache:
    """A row for each beginning, aligned on the right in `width` places; None: a row with nothing read yet."""
    known = next((beginning for beginning in beginnings if beginning is not None), None)
    if known is None or width == 0:
        return new_cache()
    layers = []
    for number, (like, _) in enumerate(known):
        layer = RoomyLayer()
        kinds = []
        for kind in (0, 1):
            filled = like.new_zeros(len(beginnings), like.shape[0], width, like.shape[2])
            for row, beginning in enumerate(beginnings):
                if beginning is not None:
                    part = beginning[number][kind]
                    filled[row, :, width - part.shape[1] :] = part
            kinds.append(filled)
        layer.update(*kinds)
        layers.append(layer)
    return Cache(layers=layers)


def beginning_of(cache: Cache, row: int, tokens: int) -> Beginning:
    """A copy of the last `tokens` places of a row."""
    return [
        (layer.keys[row, :, -tokens:].clone(), layer.values[row, :, -tokens:].clone())
        for layer in cache.layers
    ]


def select_rows(cache: Cache, rows: Sequence[int]) -> None:
    """Keep these rows, in this order; a row named twice is there twice."""
    for layer in cache.layers:
        layer.select(torch.tensor(rows, device=layer.keys.device))


def bytes_a_token(cache: Cache) -> int:
    """What the cache takes for one token of one row. It must have read something."""
    return sum(
        2 * layer.keys.shape[1] * layer.keys.shape[3] * layer.keys.element_size() for layer in cache.layers
    )


def _larger(filled: torch.Tensor, like: torch.Tensor, needed: int) -> torch.Tensor:
    """A buffer of `like`'s rows with room for `needed` tokens and more, with what was filled in its front."""
    room = _room(like, len(like), needed)
    if filled.numel():
        room[..., : filled.shape[-2], :] = filled
    return room


def _room(like: torch.Tensor, rows: int, tokens: int) -> torch.Tensor:
    return like.new_empty(rows, like.shape[1], tokens + tokens // 2 + SPARE_TOKENS, like.shape[3])
