"""`python -m trainer_service.base.seed_folder TASK FOLDER`: a task's seed model as a folder, for a model
server that is not started by Ratchet (on a cluster). A folder that exists is left as it is.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from shared.errors import RatchetError
from shared.tasks.task import load_task
from trainer_service.base.seed_base import build_seed

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
    took_s = build_seed(task, folder)
    log.info("%s was built in %.0f s", folder, took_s)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
