"""Scores that users post for served answers: kept in the run's store and event log, with the train instance
that the task makes of one. A generation that begins afterwards may train on it; the gate and the sealed test
never see it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ratchet.runs.folder import RunFolder
from ratchet.serving.answerer import Answer
from shared.errors import SettingsError
from shared.messages.events import ScorePosted
from shared.messages.records import JsonObject, PostedScore
from shared.store.store import get_json, put_json
from shared.tasks.draws import of_posted
from shared.tasks.task import task_of

SERVED = "served"  # kind of the binding in the store: an answer's id names the answer
ANSWER_ID = re.compile(r"ratchet-[0-9a-f]{32}")  # it becomes a file's name


@dataclass(frozen=True)
class Feedback:
    """Of the run that is served. Threads may share it."""

    folder: RunFolder

    def remember(self, answer_id: str, instance: JsonObject, answer: Answer) -> None:
        """What a score may be posted for later, also after a restart."""
        store = self.folder.open_store()
        kept = {"instance": instance, "answer": answer.content, "release": answer.release}
        store.bind(SERVED, answer_id, put_json(store, kept))

    def post(self, answer_id: str, score: float, right: str, note: str) -> ScorePosted:
        """Keep the score; the same one twice is one. Raises SettingsError for an unknown answer, TaskError
        for a broken verifier."""
        store = self.folder.open_store()
        digest = store.lookup(SERVED, answer_id) if ANSWER_ID.fullmatch(answer_id) else None
        if digest is None:
            raise SettingsError(f"no answer {answer_id!r} was given here", "an answer's id is in its body")
        kept = get_json(store, digest)
        posted = PostedScore(answer_id=answer_id, score=score, right=right, note=note, **kept)
        made = of_posted(task_of(self.folder.config()), posted)
        instance, why = ("", made) if isinstance(made, str) else (put_json(store, made), "")
        event = ScorePosted(
            run_id=self.folder.run_id,
            answer_id=answer_id,
            posted=put_json(store, posted),
            score=score,
            instance=instance,
            why=why,
        )
        self.folder.open_ledger().submit([event])
        return event
