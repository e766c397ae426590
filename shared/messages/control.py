"""Events by which a person steers a run. Each carries a number: what was asked for twice is two events."""

from __future__ import annotations

from typing import Literal

from shared.messages.message import Message
from shared.messages.records import Release


class ReleaseRolledBack(Message):
    """A promotion was taken back, by a person or by a guard: an older release, still stored by digest, is
    live again."""

    type: Literal["release_rolled_back.v1"] = "release_rolled_back.v1"
    release: Release  # what is live from now on
    number: int  # of the run's roll-backs
    why: str
    evidence: str = ""  # digest of GuardRecord; empty: a person asked for it


class ScorePosted(Message):
    """A user's score of a served answer. Where the task makes a train instance of it, later generations may
    train on that: the gate and the sealed test never use it."""

    type: Literal["score_posted.v1"] = "score_posted.v1"
    answer_id: str
    posted: str  # digest of PostedScore
    score: float
    instance: str = ""  # digest of the train instance; empty: there is none, for the reason `why`
    why: str = ""


class StopRequested(Message):
    """The run is to end after the present generation, with its sealed test."""

    type: Literal["stop_requested.v1"] = "stop_requested.v1"
    number: int = 0  # of the run's stretches: one more after each time that it was extended


class RunExtended(Message):
    """The run may go further: its limits were raised, and where it had ended it continues."""

    type: Literal["run_extended.v1"] = "run_extended.v1"
    config: str  # digest of the RunConfig with the higher limits
    number: int  # of the run's extensions
    continues: bool  # it had ended
    generations_before: int  # at most, until now
    generations: int  # at most, from now on


class RunReopened(Message):
    """A failed run continues: the cause is said to be gone."""

    type: Literal["run_reopened.v1"] = "run_reopened.v1"
    number: int  # of the run's ends so far
    jobs: int  # that are done again; where there are none, the last rollouts are opened anew
