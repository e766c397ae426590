"""How samples are laid out for one forward pass: all in one row (packing.py), or one row each for a model
that can't be read that way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trainer_service.specs import TrainingSample
from trainer_service.training.reading.packing import Segments, filled, pack_row


@dataclass(frozen=True)
class Batch:
    """Axes: R rows of T tokens; B samples, K tokens of the longest answer; N free tokens of all of them."""

    tokens_RT: torch.Tensor
    positions_RT: torch.Tensor
    segments: Segments | None  # None: one row a sample, filled up on the right
    from_N: torch.Tensor  # where in the flattened rows each free token is predicted
    target_N: torch.Tensor
    slot_N: torch.Tensor  # where each stands in the flattened BK
    free_BK: torch.Tensor  # 1.0 at a free token of an answer
    lengths: tuple[int, ...]  # of the answers

    def spread(self, values_N: torch.Tensor) -> torch.Tensor:
        """Values of the free tokens, each where it stands in its answer; axes BK."""
        flat = torch.zeros(self.free_BK.numel(), dtype=values_N.dtype, device=values_N.device)
        return flat.scatter(0, self.slot_N, values_N).view_as(self.free_BK)

    def place(self, vectors: Sequence[torch.Tensor]) -> torch.Tensor:
        """One vector of answer length a sample: axes BK."""
        placed_BK = torch.zeros_like(self.free_BK)
        for row, vector in enumerate(vectors):
            placed_BK[row, : len(vector)] = vector
        return placed_BK

    def take(self, values_BK: torch.Tensor) -> list[torch.Tensor]:
        """The other way round: each sample's answer cut out."""
        return [values_BK[row, :length] for row, length in enumerate(self.lengths)]


def lay_out(samples: Sequence[TrainingSample], device: torch.device, *, packed: bool) -> Batch:
    texts = [needed(sample) for sample in samples]
    rows = pack_row(samples, texts) if packed else fill_rows(texts)
    tokens, positions, places, segments = rows
    longest = max(len(sample.token_ids) for sample in samples)
    free = [
        (row, i) for row, sample in enumerate(samples) for i, is_free in enumerate(sample.free) if is_free
    ]
    slot_N = torch.tensor([row * longest + i for row, i in free], dtype=torch.long)
    free_BK = torch.zeros(len(samples), longest)
    free_BK.view(-1)[slot_N] = 1.0
    return Batch(
        tokens_RT=tokens.to(device),
        positions_RT=positions.to(device),
        segments=segments and Segments(**{name: t.to(device) for name, t in vars(segments).items()}),
        from_N=torch.tensor(
            [places[row][len(samples[row].prompt_ids) + i - 1] for row, i in free], dtype=torch.long
        ).to(device),
        target_N=torch.tensor([samples[row].token_ids[i] for row, i in free], dtype=torch.long).to(device),
        slot_N=slot_N.to(device),
        free_BK=free_BK.to(device),
        lengths=tuple(len(sample.token_ids) for sample in samples),
    )


def needed(sample: TrainingSample) -> tuple[int, ...]:
    """The sample's tokens before its last free one: what comes after predicts nothing that counts."""
    last = max((i for i, is_free in enumerate(sample.free) if is_free), default=0)
    return (*sample.prompt_ids, *sample.token_ids)[: len(sample.prompt_ids) + last]


def fill_rows(
    texts: Sequence[tuple[int, ...]],
) -> tuple[torch.Tensor, torch.Tensor, list[list[int]], None]:
    """One row a sample. Causal attention ignores what fills it up."""
    width = max(map(len, texts))
    tokens_RT = filled(texts)
    places = [list(range(row * width, row * width + len(text))) for row, text in enumerate(texts)]
    return tokens_RT, torch.arange(width).expand_as(tokens_RT), places, None
