"""Samples packed into one row without padding; what the samples of one prompt begin with stands there once.
Each token still sees just its own sample's tokens (attention.py), at its own sample's positions, so nothing
that is computed changes.

A stem is the common start of samples (a lone sample is all stem), a branch the rest of one of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trainer_service.specs import TrainingSample


@dataclass(frozen=True)
class Segments:
    """Which tokens of a packed row attend to which: indices along T. Axes S stems, L their tokens;
    Q branches, C their tokens, P those of a branch's stem; shorter ones are filled up with index 0.
    """

    stem_SL: torch.Tensor
    branch_QC: torch.Tensor
    before_QP: torch.Tensor
    visible_Q1CK: torch.Tensor  # of a branch's token: its stem, then the branch up to itself. K = P + C
    place_T: torch.Tensor  # where each token stands among the flattened stems and branches


def pack_row(
    samples: Sequence[TrainingSample], texts: Sequence[tuple[int, ...]]
) -> tuple[torch.Tensor, torch.Tensor, list[list[int]], Segments]:
    """One row for all. Also returns where each sample's tokens stand in it."""
    tokens: list[int] = []
    positions: list[int] = []
    places: list[list[int]] = [[] for _ in samples]
    stems: list[list[int]] = []
    branches: list[tuple[list[int], list[int]]] = []  # a stem's places, a branch's

    def put(part: Sequence[int], first: int) -> list[int]:
        where = list(range(len(tokens), len(tokens) + len(part)))
        tokens.extend(part)
        positions.extend(range(first, first + len(part)))
        return where

    by_prompt = sorted(range(len(samples)), key=lambda row: samples[row].prompt_ids)
    for _, group in itertools.groupby(by_prompt, key=lambda row: samples[row].prompt_ids):
        rows = list(group)
        common = common_start([texts[row] for row in rows])
        stems.append(put(common, 0))
        for row in rows:
            own = put(texts[row][len(common) :], len(common))
            places[row] = stems[-1] + own
            if own:
                branches.append((stems[-1], own))
    return torch.tensor([tokens]), torch.tensor([positions]), places, segments_of(stems, branches)


def segments_of(stems: list[list[int]], branches: list[tuple[list[int], list[int]]]) -> Segments:
    stem_SL, branch_QC = filled(stems), filled([own for _, own in branches])
    before_QP = filled([stem for stem, _ in branches])
    (count, own_width), stem_width = branch_QC.shape, before_QP.shape[1]
    stem_length_Q = torch.tensor([len(stem) for stem, _ in branches], dtype=torch.long)
    in_stem_QP = torch.arange(stem_width) < stem_length_Q[:, None]
    up_to_CC = torch.ones(own_width, own_width, dtype=torch.bool).tril()
    visible_QCK = torch.cat(
        [
            in_stem_QP[:, None].expand(-1, own_width, -1),
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
