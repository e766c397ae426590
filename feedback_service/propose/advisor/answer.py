"""The form of an advisor's answer and its bounds. Nothing is read here: reading.py takes an answer apart, and
drops each part that is out of bounds alone.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from feedback_service.propose.edit_budget import MOST as MOST_EDITS
from shared.messages.proposals import Edit

MOST_FINDINGS = 5
MOST_LEFT_OUT = 64
MOST_STEPS = 96
RATES = (1e-6, 1e-2)
Algorithm = Literal["best_of_n", "dpo", "entropic", "grpo", "ppo", "reinforce", "supervised"]


def number(value: object) -> object:
    """The value, if it is a finite number. Compared as it stands: an integer may be beyond all floats."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e9:
        raise ValueError("no number of an ordinary size")
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


Number = BeforeValidator(number)
Text = Annotated[str, Field(min_length=1, max_length=600)]
LABEL = re.compile(r"[ag][1-9][0-9]{0,5}")
Label = Annotated[str, Field(pattern=f"^{LABEL.pattern}$")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FindingPart(Part):
    what: Text
    evidence: Text


class HarnessPart(Part):
    edits: Annotated[list[Edit], Field(max_length=MOST_EDITS)] = Field(default_factory=list)
    evidence: Text = "none"


class WeightsPart(Part):
    """Each field may be missing: the rules choose it."""

    algorithm: Algorithm | None = None
    steps: Annotated[int, Number, Field(ge=1, le=MOST_STEPS)] | None = None
    learning_rate: Annotated[float, Number, Field(ge=RATES[0], le=RATES[1])] | None = None
    kl_weight: Annotated[float, Number, Field(ge=0, le=10)] | None = None
    leave_out: Annotated[list[Label], Field(max_length=MOST_LEFT_OUT)] = Field(default_factory=list)
    evidence: Text = "none"


class Answer(Part):
    """One analysis for both levers."""

    findings: Annotated[list[FindingPart], Field(max_length=MOST_FINDINGS)]
    harness: HarnessPart
    weights: WeightsPart
    notes: Annotated[str, Field(max_length=1200)] = ""


def schema() -> dict[str, Any]:
    """What a constrained decoder is given."""
    return Answer.model_json_schema()
