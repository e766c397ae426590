"""What one event added to a shard's state, as it is stored; shared/store/shards.py makes states of it."""

from __future__ import annotations

from pydantic import Field

from shared.messages.records import Candidate, Cost, Evaluation, Record, Turn


class AttemptChange(Record):
    """Of the attempt at `index`. Empty fields: as before."""

    index: int
    kept: int  # turns that stay, from the first on
    results: tuple[Evaluation, ...] = ()  # of the last one that stays
    turns: tuple[Turn, ...] = ()  # that follow them
    answer: Candidate | None = None
    answered: tuple[int, int] | None = None  # it is that turn's candidate of that number, and not repeated
    final: Evaluation | None = None
    error: str = ""


class ShardStep(Record):
    before: str  # digest of the ShardStep or ShardState before, or of the ShardPlan
    changes: tuple[AttemptChange, ...] = ()
    cost: Cost = Cost()  # of the shard so far
    reload: dict[str, float] = Field(default_factory=dict)  # as in ShardState
