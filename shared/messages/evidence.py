"""The evidence of decisions, stored as JSON and named by digest: what a gate measured before it promoted or
rejected, and why a live release was taken back.
"""

from __future__ import annotations

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from shared.messages.records import JsonObject, Record


class Interval(Record):
    """A mean with its interval over n instances."""

    mean: float
    low: float
    high: float
    n: int


class ArmResult(Record):
    """One arm in a comparison: its interval, or null with a reason."""

    interval: Interval | None = None
    reason: str = ""


class Rail(Record):
    """What was measured beside the gain, and how much of it the config allows."""

    name: str
    measured: float
    limit: float


class GateRecord(Record):
    """All evidence of one generation's decision; the decision recomputes from it."""

    screen: dict[str, ArmResult] = Field(default_factory=dict)
    screen_scores: dict[str, tuple[float, ...]] = Field(default_factory=dict)  # by arm, by instance
    chosen: str = "base"
    test: str = "betting"  # a name of claims.py; records from before there were several name none
    differences: tuple[float, ...] = ()  # confirm: chosen minus base, one an instance, in order
    e_value: float = 1.0
    threshold: float = 0.0  # e-value needed: 1 / alpha of this generation
    alpha: float = 0.0
    min_effect: float = 0.0
    bound: float = 1.0  # a difference lies in [-bound, bound]
    max_pairs: int = 0
    gain: Interval | None = None  # the recorded gain: the confirm estimate
    lost: str = ""  # instances that were left out of every arm, and why
    lost_pairs: int = 0  # of the confirmation: neither arm could be scored
    rails: tuple[Rail, ...] = ()
    ended: str = ""  # why no more pairs were measured, if not for the evidence
    postponed: str = ""  # why the confirmation waits for a later generation
    waited_s: dict[str, float] = Field(default_factory=dict)  # for the model, by arm: the mean of an attempt

    @model_serializer(mode="wrap")
    def _as_before(self, plain: SerializerFunctionWrapHandler) -> JsonObject:
        """Without what is new it is, to the byte, what older versions derived."""
        found: JsonObject = plain(self)
        return {key: value for key, value in found.items() if value or key not in ("waited_s", "postponed")}


class Guard(Record):
    """What was measured of a live release, and the evidence that its mean is above the limit."""

    name: str
    limit: float
    mean: float
    attempts: int
    e_value: float
    alpha: float  # of a release within the limit, the chance that this guard ever trips, at most


class GuardRecord(Record):
    """Why a release was taken back."""

    promoted_in: int  # generation
    guards: tuple[Guard, ...]
