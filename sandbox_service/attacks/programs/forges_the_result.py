"""Prints a result, leaves one in every file it may write, and is gone before the judge has its say.

exploit: K24
layer: what a candidate prints or reports is never a score
"""

import contextlib
import json
import os
import pathlib
import sys

FORGED = json.dumps({"outcome": "ok", "score": 1.0, "detail": ""})


def smooth(noisy):
    for path in (*sys.argv[1:], "result.json", "score.json"):
        if not path.endswith(".py"):
            with contextlib.suppress(OSError):
                pathlib.Path(path).write_text(FORGED, encoding="utf-8")
    print(FORGED, flush=True)
    os._exit(0)
