"""What kind of answer the rows of a file want: one label of a list, a number, code or a short text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["label", "number", "code", "whole"]
MOST_LABELS = 200
ROWS_A_LABEL = 3.0  # on average: fewer, and the answers are texts
MOST_LISTED_CHARS = 3000  # of the labels in a prompt
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?")
CODE = re.compile(
    r"^\s*(?:def |class |import |from \w+ import|#include|SELECT |function |\w+ \w+\(.*\) *\{)", re.M
)
METRICS: dict[Kind, str] = {"label": "exact", "number": "numeric", "code": "exact", "whole": "f1"}
NAMES: dict[Kind, str] = {
    "label": "one label of a list",
    "number": "a number",
    "code": "code",
    "whole": "a short text",
}


@dataclass(frozen=True)
class Shape:
    kind: Kind
    labels: tuple[str, ...] = ()

    @property
    def metric(self) -> str:
        return METRICS[self.kind]

    @property
    def asks_for(self) -> str:
        """The sentence that a prompt ends in."""
        listed = ", ".join(self.labels)
        return {
            "label": f"Reply with one of these labels alone: {listed}."
            if len(listed) <= MOST_LISTED_CHARS
            else "Reply with the label alone, as the examples spell it.",
            "number": "Reply with the number alone.",
            "code": "Reply with the code alone.",
            "whole": "Reply with the answer alone.",
        }[self.kind]


def shape_of(answers: Sequence[str]) -> Shape:
    """Numbers first: grades from 1 to 5 are numbers, although they are few."""
    if all(NUMBER.fullmatch(answer) for answer in answers):
        return Shape("number")
    if sum(bool(CODE.search(answer)) for answer in answers) > len(answers) / 2:
        return Shape("code")
    labels = sorted(set(answers))
    short = all("\n" not in label and len(label) <= 80 for label in labels)
    if short and len(labels) <= min(MOST_LABELS, len(answers) / ROWS_A_LABEL):
        return Shape("label", tuple(labels))
    return Shape("whole")
