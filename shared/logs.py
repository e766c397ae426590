"""Logging of a process: one line a record on stderr, which the supervisor writes to a file."""

from __future__ import annotations

import logging
import sys
import time

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s {name}[%(process)d] %(name)s: %(message)s"


def set_up(name: str, level: int = logging.INFO) -> None:
    """Call once, in a program's main. `name` is the service's."""
    formatter = logging.Formatter(FORMAT.format(name=name), datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for chatty in ("httpx2", "httpcore", "openai", "urllib3", "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
