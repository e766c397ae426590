"""Earlier evaluations, keyed by everything that they depend on. Never used for the gate."""

from __future__ import annotations

import os
from hashlib import file_digest
from pathlib import Path

from shared.messages.records import Check, Evaluation, JsonObject, digest_of
from shared.store.store import Store, get_record, put_json
from shared.tasks.task import Task

KIND = "evaluation"
PROPOSES = ("harness/", "README")  # what of a task's folder has no part in a score
Stamp = tuple[tuple[str, int, int, int], ...]


def verifier_digest(task: Task) -> str:
    """Names the task folder as it scores: every file of it but the harness, which only proposes."""
    digests = {}
    for name, path in _scoring_files(task.folder).items():
        with path.open("rb") as file:
            digests[name] = file_digest(file, "sha256").hexdigest()
    return digest_of(digests)


def stamp(task: Task) -> Stamp:
    """Changes whenever verifier_digest may, and reads no file: name, size, time, inode of each."""
    found = {name: path.stat() for name, path in _scoring_files(task.folder).items()}
    return tuple((name, one.st_size, one.st_mtime_ns, one.st_ino) for name, one in found.items())


def _scoring_files(folder: Path) -> dict[str, Path]:
    """By relative path, sorted. Links are followed, since data often lies elsewhere, circles but once."""
    found, seen = {}, set()
    for place, folders, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))
        folders[:] = [
            name
            for name in folders
            if name != "__pycache__" and os.path.realpath(os.path.join(place, name)) not in seen
        ]
        for name in names:
            path = Path(place, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_file() and not relative.startswith(PROPOSES):
                found[relative] = path
    return dict(sorted(found.items()))


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
