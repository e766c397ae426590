"""A candidate's failure: data on its way to an Evaluation, never an error of the sandbox."""

from __future__ import annotations

from shared.messages.records import Outcome


class CandidateFailedError(Exception):
    """Raised and caught inside the sandbox; `detail` is for the author of the candidate."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(outcome, detail)
        self.outcome: Outcome = outcome
        self.detail = detail
