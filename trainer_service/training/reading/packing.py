"""Samples packed into one row without padding; what they begin with alike stands there once: the prompt of
several samples, or the instructions and examples that different prompts open with. Each token still sees just
its own sample's tokens (attention.py), at its own sample's positions, so nothing that is computed changes.

A stem is the start of samples (a lone sample is all stem), a branch what goes on from one, or from a branch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from trainer_service.specs import TrainingSample

FEWEST_SAVED = 16  # tokens that a beginning of different prompts must save, to be read apart from the rest
PAIRS_A_TOKEN = 1024  # of attention that cost as much as a token's projections: about 6 times the width


@dataclass(frozen=True)
class Segments:
    """Which tokens of a packed row attend to which: indices along T. Axes S stems, L their tokens;
    Q branches, C their tokens, P all those before a branch; shorter ones are filled up with index 0.
    """

    stem_SL: torch.Tensor
    branch_QC: torch.Tensor
    before_QP: torch.Tensor
    visible_Q1CK: torch.Tensor  # of a branch's token: all before it, then the branch up to itself. K = P + C
    place_T: torch.Tensor  # where each token stands among the flattened stems and branches


@dataclass
class _Row:
    """Being laid out."""

    texts: Sequence[tuple[int, ...]]
    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    places: dict[int, list[int]] = field(default_factory=dict)  # of each sample's tokens
    stems: list[list[int]] = field(default_factory=list)  # their places
    branches: list[tuple[list[int], list[int]]] = field(default_factory=list)  # all before it, and its own

    def put(self, part: Sequence[int], before: list[int]) -> list[int]:
        """Where the tokens up to the end of this part stand."""
        own = list(range(len(self.tokens), len(self.tokens) + len(part)))
        self.tokens.extend(part)
        self.positions.extend(range(len(before), len(before) + len(part)))
        if not before:
            self.stems.append(own)
        elif own:
            self.branches.append((before, own))
        return before + own

    def work(self) -> float:
        """In tokens. Attention fills its stems and its branches up to the longest."""
        stem, own = (max(map(len, parts), default=0) for parts in (self.stems, [b for _, b in self.branches]))
        before = max((len(before) for before, _ in self.branches), default=0)
        pairs = len(self.stems) * stem**2 + len(self.branches) * own * (before + own)
        return len(self.tokens) + pairs / PAIRS_A_TOKEN


def pack_row(
    samples: Sequence[TrainingSample], texts: Sequence[tuple[int, ...]]
) -> tuple[torch.Tensor, torch.Tensor, list[list[int]], Segments]:
    """One row for all. Also returns where each sample's tokens stand in it."""
    row = min(by_prompt(samples, texts), by_beginning(texts), key=_Row.work)
    places = [row.places[number] for number in range(len(texts))]
    return (
        torch.tensor([row.tokens]),
        torch.tensor([row.positions]),
        places,
        segments_of(row.stems, row.branches),
    )


def by_prompt(samples: Sequence[TrainingSample], texts: Sequence[tuple[int, ...]]) -> _Row:
    """A stem for each prompt."""
    row = _Row(texts)
    order = sorted(range(len(samples)), key=lambda number: samples[number].prompt_ids)
    for _, group in itertools.groupby(order, key=lambda number: samples[number].prompt_ids):
        numbers = list(group)
        common = common_start([texts[number] for number in numbers])
        stem = row.put(common, [])
        for number in numbers:
            row.places[number] = row.put(texts[number][len(common) :], stem)
    return row


def by_beginning(texts: Sequence[tuple[int, ...]]) -> _Row:
    """A tree: whatever texts begin with alike, if it is worth it."""
    row = _Row(texts)
    _grow(row, sorted(range(len(texts)), key=texts.__getitem__), [])
    return row


def _grow(row: _Row, numbers: list[int], before: list[int]) -> None:
    """Of sorted texts, whose first tokens stand at `before`."""
    common = common_start([row.texts[number] for number in numbers])
    alike = len(common) == max(len(row.texts[number]) for number in numbers)
    if alike or (len(numbers) - 1) * (len(common) - len(before)) >= FEWEST_SAVED:
        before = row.put(common[len(before) :], before)
        ended = [number for number in numbers if len(row.texts[number]) == len(common)]
        row.places |= dict.fromkeys(ended, before)
        numbers = [number for number in numbers if number not in ended]
    for _, group in itertools.groupby(numbers, key=lambda number: row.texts[number][len(common) :][:1]):
        _grow(row, list(group), before)


def segments_of(stems: list[list[int]], branches: list[tuple[list[int], list[int]]]) -> Segments:
    stem_SL, branch_QC = filled(stems), filled([own for _, own in branches])
    before_QP = filled([before for before, _ in branches])
    (count, own_width), before_width = branch_QC.shape, before_QP.shape[1]
    before_length_Q = torch.tensor([len(before) for before, _ in branches], dtype=torch.long)
    is_before_QP = torch.arange(before_width) < before_length_Q[:, None]
    up_to_CC = torch.ones(own_width, own_width, dtype=torch.bool).tril()
    visible_QCK = torch.cat(
        [
            is_before_QP[:, None].expand(-1, own_width, -1),
            up_to_CC.expand(count, -1, -1),
        ],
        dim=-1,
    )
    order = [
        (place, row * matrix.shape[1] + column + first)
        for matrix, parts, first in (
            (stem_SL, stems, 0),
            (branch_QC, [own for _, own in branches], stem_SL.numel()),
        )
        for row, part in enumerate(parts)
        for column, place in enumerate(part)
    ]
    place_T = torch.tensor([flat for _, flat in sorted(order)])
    return Segments(stem_SL, branch_QC, before_QP, visible_QCK.unsqueeze(1), place_T)


def common_start(texts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Between the first and the last in order nothing can differ earlier than these two."""
    first, last = min(texts), max(texts)
    differs = (i for i, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differs, len(first))]


def filled(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Rows of unlike length as one matrix, filled up with 0."""
    matrix = torch.zeros(len(rows), max(map(len, rows), default=0), dtype=torch.long)
    for row, numbers in enumerate(rows):
        matrix[row, : len(numbers)] = torch.tensor(numbers, dtype=torch.long)
    return matrix
