"""`python -m trainer_service.base.seed_folder TASK FOLDER`: a task's seed model as a folder, for a model
server that somebody else starts (on a cluster). What lies there already is left alone.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from shared.errors import RatchetError, TrainingError
from shared.tasks.task import load_task
from trainer_service.base.base import build_seed

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        write(arguments[0], Path(arguments[1]))
    except RatchetError as error:
        log.error("%s", error)
        return error.exit_code
    return 0


def write(name: str, folder: Path) -> None:
    """Raises TaskError, TrainingError."""
    if folder.exists():
        log.info("%s is there already", folder)
        return
    task = load_task(name)
    section = task.manifest.seed_corpus
    if section is None:
        raise TrainingError(f"task {task.name!r} has no seed corpus", "add [seed_corpus] to its task.toml")
    took_s = build_seed(task, section, folder, threads=len(os.sched_getaffinity(0)))
    log.info("%s was built in %.0f s", folder, took_s)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
