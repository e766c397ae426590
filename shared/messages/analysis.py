"""What an advisor answered in one generation, as it is kept: every draft with its text, what was taken
from it and what was dropped, and what a replay on stored traces said of its patches.
"""

from __future__ import annotations

from shared.messages.records import Record


class Dropped(Record):
    """A part of an answer that was left out, by its path there, and why."""

    part: str
    why: str


class Finding(Record):
    what: str
    evidence: str


class Learning(Record):
    """The advised weight update, within its bounds. None: left to the rules."""

    algorithm: str | None = None
    steps: int | None = None
    learning_rate: float | None = None
    kl_weight: float | None = None
    leave_out: tuple[str, ...] = ()  # as the prompt numbers them: g3 is an instance's attempts, a17 is one
    evidence: str = ""


class Draft(Record):
    """One answer. `fault`: why nothing of it can be used."""

    reply: str  # digest of its text
    findings: tuple[Finding, ...] = ()
    patch: str = ""  # digest of Patch; empty: no edit of it can be used
    learning: Learning | None = None
    notes: str = ""  # for its own later proposals
    dropped: tuple[Dropped, ...] = ()
    fault: str = ""


class Analysis(Record):
    """All drafts in the order in which their patches are tried on stored traces."""

    drafts: tuple[Draft, ...]
    learning_of: int | None = None  # which draft's weight update was taken; None: the rules'
    engine: str = "analysis"
    why: str = ""  # how drafts were ordered, or why there are none


class Replayed(Record):
    """What stored traces said of a patch. Scores are compared where the patched scaffold asked exactly what
    had been asked: elsewhere the stored replies belong to other questions, and only their reading is tried.
    """

    patch: str
    attempts: int = 0
    answered: int = 0  # came to an answer
    same_questions: int = 0
    gain: float = 0.0  # mean change of score over those; 0 where none was judged
    judged: int = 0  # of those, how many a verifier scored
    refused: str = ""  # why the patch does not hold


class Replay(Record):
    patches: tuple[Replayed, ...] = ()
