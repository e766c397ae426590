"""Earlier evaluations, keyed by everything that they depend on. Never used for the gate."""

from __future__ import annotations

from hashlib import sha256

from shared.messages.records import Check, Evaluation, JsonObject, digest_of
from shared.store.store import Store, get_record, put_json, read_folder
from shared.tasks.task import Task

KIND = "evaluation"


def verifier_digest(task: Task) -> str:
    """Names the task folder as it scores: every file of it but the harness, which only proposes."""
    files = read_folder(task.folder)
    scoring = {name: data for name, data in files.items() if not name.startswith(("harness/", "README"))}
    return digest_of({name: sha256(data).hexdigest() for name, data in scoring.items()})


def key_of(verifier: str, instance: JsonObject, content: str, check: Check) -> str:
    return digest_of([verifier, instance, content, check])


def find(store: Store, key: str) -> Evaluation | None:
    digest = store.lookup(KIND, key)
    return get_record(store, digest, Evaluation) if digest else None


def keep(store: Store, key: str, evaluation: Evaluation) -> Evaluation:
    """Keeps it, and returns what is kept: another worker may have been first, and all must return the
    same."""
    digest = store.bind(KIND, key, put_json(store, evaluation))
    return get_record(store, digest, Evaluation)
