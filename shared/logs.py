"""Logging of a process: one line a record on stderr, as text or as JSON, which the supervisor writes to a
file; and rotation of such files from outside.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import time
from pathlib import Path

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s {name}[%(process)d] %(name)s: %(message)s"
TIME = "%Y-%m-%dT%H:%M:%S"
KEPT = 3  # rotated files of a log: NAME.log.1 is the newest


class JsonFormatter(logging.Formatter):
    """`service`: whose process logs."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{time.strftime(TIME, time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "service": self.service,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(name: str, kind: str = "text", level: int = logging.INFO) -> None:
    """In a program's main. `name` is the service's; `kind`: text or json."""
    formatter = JsonFormatter(name) if kind == "json" else _text(name)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for chatty in ("httpx2", "httpcore", "openai", "urllib3", "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _text(name: str) -> logging.Formatter:
    formatter = logging.Formatter(FORMAT.format(name=name), datefmt=TIME)
    formatter.converter = time.gmtime
    return formatter


def rotate(file: Path, most_bytes: float) -> bool:
    """Move a log that has grown too large to NAME.log.1, and older ones on. Its writers (several processes,
    with whatever they print) keep it open for appending: so it is copied and cut to nothing, and a line that
    is written between the two is lost. False: it is small enough."""
    if file.stat().st_size <= most_bytes:
        return False
    for number in range(KEPT, 1, -1):
        if (older := file.with_name(f"{file.name}.{number - 1}")).exists():
            os.replace(older, file.with_name(f"{file.name}.{number}"))
    newest = file.with_name(f"{file.name}.1")
    shutil.copyfile(file, newest)
    newest.chmod(file.stat().st_mode & 0o777)
    os.truncate(file, 0)
    return True
