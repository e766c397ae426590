"""What all events share: the run, the generation, the join that their work ends in, and a digest."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from shared.messages.records import digest_of


class Join(BaseModel):
    """`slot` of the `expected` arrivals that together make one next job."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    slot: str
    expected: int


class Message(BaseModel):
    """Root of all events."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    run_id: str
    generation: int = 0
    join: Join | None = None  # the join that this work ends in; copied from event to event

    @property
    def digest(self) -> str:
        return digest_of(self.model_dump(mode="json"))
