"""Of several patches chooses the one that does best on stored traces, before a new token is spent.

A patched scaffold is played the recorded replies. Where it asks exactly what had been asked, the verifier can
compare its answer with the recorded one (tasks whose answers are texts: nothing is timed). Where it asks
something else, the replies belong to other questions: then only that they are read without a failure is
known. Prompts, sampling and weights can't be judged so; they are the gate's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox_service.validate_harness import Unpacked, play, trace_of, unpack, validate
from shared.config.settings import RunConfig
from shared.harness.bundle import PatchRefused
from shared.harness.steps import ScaffoldFailed, ScaffoldPool
from shared.messages.analysis import Replay, Replayed
from shared.messages.proposals import Patch
from shared.messages.records import (
    UNSCORED,
    AttemptState,
    BatchScores,
    Block,
    CandidateBatch,
    Cost,
)
from shared.store.shards import get_shard
from shared.store.store import Store, get_record
from shared.tasks.task import Task

MOST_ATTEMPTS = 12
TEXTS = "answer"  # the toolchain whose candidates are only read


@dataclass(frozen=True)
class Chosen:
    patch: str
    harness: str


@dataclass(frozen=True)
class Choice:
    record: Replay
    chosen: Chosen | None  # None: no patch holds
    why: str = ""
    cost: Cost = field(default_factory=Cost)


@dataclass
class Replaying:
    store: Store
    pool: ScaffoldPool
    cache: Path
    task: Task
    config: RunConfig
    evaluate: Callable[[CandidateBatch], BatchScores]
    cost: Cost = field(default_factory=Cost)

    def choose(self, patches: Sequence[str], smoke: Sequence[str]) -> Choice:
        """The earlier one of equals: the sender's order decides where traces do not."""
        states = [get_shard(self.store, digest) for digest in smoke]
        attempts = [one for state in states for one in state.attempts if one.replies and one.final]
        attempts = attempts[:: max(1, len(attempts) // MOST_ATTEMPTS)][:MOST_ATTEMPTS]
        found = [self._replayed(digest, attempts, smoke) for digest in patches]
        record = Replay(patches=tuple(replayed for replayed, _ in found))
        holding = [(replayed, harness) for replayed, harness in found if harness]
        if not holding:
            return Choice(record, None, cost=self.cost)
        best, harness = max(holding, key=lambda one: (one[0].answered, one[0].gain * one[0].judged))
        why = (
            f"of {len(patches)} drafts, by {best.attempts} stored attempts: {best.answered} came to an answer"
        )
        if best.judged:
            why += f", {best.gain:+.3f} on the {best.judged} with the same questions"
        return Choice(record, Chosen(best.patch, harness), why, self.cost)

    def _replayed(
        self, digest: str, attempts: Sequence[AttemptState], smoke: Sequence[str]
    ) -> tuple[Replayed, str]:
        """The replay of one patch, and its harness's digest; empty where the patch does not hold."""
        patch = get_record(self.store, digest, Patch)
        try:
            harness = validate(self.store, self.pool, self.cache, self.task, patch, smoke)
            patched = unpack(self.store, self.cache, patch)
        except PatchRefused as refused:
            return Replayed(patch=digest, refused=refused.message), ""
        answers = [(attempt, self._answer(patched, attempt)) for attempt in attempts]
        same = [
            (attempt, text) for attempt, (text, asked_alike) in answers if text is not None and asked_alike
        ]
        gains = self._gains(same)
        replayed = Replayed(
            patch=digest,
            attempts=len(attempts),
            answered=sum(text is not None for _, (text, _) in answers),
            same_questions=len(same),
            gain=math.fsum(gains) / len(gains) if gains else 0.0,
            judged=len(gains),
        )
        return replayed, harness

    def _answer(self, patched: Unpacked, attempt: AttemptState) -> tuple[str | None, bool]:
        """What it answers to the recorded replies, and whether it asked what had been asked."""
        try:
            played = play(self.pool, patched, self.task, trace_of(attempt))
        except ScaffoldFailed:
            return None, False
        recorded = [turn.action for turn in attempt.turns if "ask" in turn.action]
        return played.answer, played.asked == recorded

    def _gains(self, answers: Sequence[tuple[AttemptState, str]]) -> list[float]:
        """The verifier's score of each answer minus the recorded one. Nothing where a score must be timed."""
        if self.task.manifest.toolchain != TEXTS or not answers:
            return []
        blocks = [Block(instance=one.plan.instance, entries=(("replay", text),)) for one, text in answers]
        scores = self.evaluate(
            CandidateBatch(
                task=self.config.run.task,
                check="final",
                fresh=False,
                limits=self.config.attempt,
                blocks=tuple(blocks),
            )
        )
        self.cost += scores.cost
        pairs = zip(answers, scores.blocks, strict=True)
        return [
            row[0].score - attempt.final.score
            for (attempt, _), row in pairs
            if attempt.final and attempt.final.outcome not in UNSCORED and row[0].outcome not in UNSCORED
        ]
