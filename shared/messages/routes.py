"""Routes: which service handles which event, and which events wait in a join until all of them have arrived.

An event without a handler is written to the log only, where `ratchet watch` and `ratchet show` read it.
"""

from __future__ import annotations

from typing import Literal

from shared.messages import events as e

Service = Literal["agent", "sandbox", "feedback", "trainer"]
SERVICES: tuple[Service, ...] = ("agent", "sandbox", "feedback", "trainer")

HANDLED_BY: dict[type[e.Message], Service] = {
    e.RunStarted: "feedback",
    e.EvaluationRequested: "feedback",
    e.BaseRequested: "trainer",
    e.BaseReady: "feedback",
    e.BaseFailed: "feedback",
    e.RolloutsOpened: "agent",
    e.ShardOpened: "agent",
    e.CandidatesProposed: "sandbox",
    e.CandidatesScored: "agent",
    e.RolloutsJoined: "feedback",
    e.HarnessProposed: "sandbox",
    e.DemonstrationsRequested: "sandbox",
    e.DemonstrationsReady: "feedback",
    e.WeightUpdateProposed: "trainer",
    e.ProposalsJoined: "feedback",
    e.ReleasePromoted: "agent",  # warms caches only
    e.JobDied: "feedback",
    e.RunExtended: "feedback",
    e.RunReopened: "feedback",
}

# These wait in a join; the arrival that completes it creates the event on the right.
JOINED_INTO: dict[type[e.Message], type[e.RolloutsJoined] | type[e.ProposalsJoined]] = {
    e.ShardFinished: e.RolloutsJoined,
    e.HarnessValidated: e.ProposalsJoined,
    e.HarnessRefused: e.ProposalsJoined,
    e.AdapterPublished: e.ProposalsJoined,
    e.WeightUpdateFailed: e.ProposalsJoined,
}
