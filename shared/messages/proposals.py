"""The proposals of the two levers, as values that services pass by reference: patches of the harness, weight
updates, and what those learn from.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from shared.messages.records import KnobValue, Record


class Edit(Record):
    """One bounded change of a harness, of exactly one kind; shared/harness/bundle.py checks it."""

    kind: Literal["set_knob", "replace_text", "add_exemplar", "drop_exemplar"]
    path: str  # a knob's name, or a file of the bundle
    old: str | None = None  # replace_text: the passage, which must occur exactly once
    new: Any = None  # the knob's value, the new passage, or the exemplar


class Patch(Record):
    """Edits against a named base harness."""

    base: str
    edits: tuple[Edit, ...]
    reason: str
    claim: Literal["gain", "no_worse"] = Field("gain", exclude_if=lambda claim: claim == "gain")
    # no_worse: it only drops prompt text, and the gate asks for no gain; left out, as older versions wrote it


class KnobGain(Record):
    """What a setting is thought to bring over the live one, in units of the score."""

    knobs: dict[str, KnobValue]  # what it moves
    gain: float
    error: float  # standard error
    sure: float  # probability of a gain
    attempts: int  # that ran with this very setting, under the live conditions


class DesignRecord(Record):
    """What a generation's design of experiments found out: the evidence of a harness proposal."""

    attempts: int  # of this generation
    known: int  # all that the estimates rest on, those of the live setting and of earlier generations too
    levels: tuple[KnobGain, ...]  # each level of each knob, moved alone
    settings: tuple[KnobGain, ...]  # that ran, the best first
    proposed: dict[str, KnobValue] = Field(default_factory=dict)  # empty: none is surely better


class ChatMessage(Record):
    role: str
    content: str


class WeightUpdate(Record):
    """Which algorithm, which attempts, which hyper-parameters, and why."""

    algorithm: str
    shards: tuple[str, ...]  # digests of ShardState to learn from
    steps: int
    learning_rate: float
    kl_weight: float
    seed: int
    reason: str
    demonstrations: str = ""  # digest of Demonstrations: right replies to imitate; empty: none offered
    evidence: dict[str, float] = Field(default_factory=dict)  # what the choice of the algorithm rests on


class TrainingCurves(Record):
    """What was watched while training, one value a step: loss, kl, entropy, reward, length, norm."""

    series: dict[str, tuple[float, ...]]


class Demonstration(Record):
    """A right reply to one prompt of the scaffold. From the train split only, never from gate or test."""

    instance_id: str
    messages: tuple[ChatMessage, ...]  # the prompt, as the scaffold would send it
    reply: str  # the right reply, as plain text


class Demonstrations(Record):
    """What a supervised update learns from: the verifier's answers, in the scaffold's own prompts."""

    items: tuple[Demonstration, ...]
