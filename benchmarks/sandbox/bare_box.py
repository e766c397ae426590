"""A box without isolation, to measure what isolation costs: the same programs, files and pipes, started as
they are. For our own programs only.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from shared.box.box import BASE_ENV, NO_ENV, Bind, Box, BoxedProcess, BoxOutcome, BoxResult, Limits
from shared.box.bubblewrap.process import BubblewrapProcess, Launch


class BareBox(Box):
    """Where a program names a file by its place in the box, it is given the host's path."""

    def run(
        self,
        argv: Sequence[str],
        *,
        binds: Sequence[Bind] = (),
        limits: Limits,
        stdin: bytes = b"",
        env: Mapping[str, str] = NO_ENV,
        cwd: str = "/tmp",
        python: bool = True,
    ) -> BoxResult:
        started = time.monotonic()
        done = subprocess.run(
            [_outside(word, binds) for word in argv],
            input=stdin,
            capture_output=True,
            env={**BASE_ENV, **env},
            cwd=_outside(cwd, binds),
            timeout=limits.wall_s,
            start_new_session=True,  # as a box does: the kernel shares out its time by session
        )
        outcome: BoxOutcome = "ok" if done.returncode == 0 else "crashed"
        return BoxResult(done.returncode, done.stdout, done.stderr, time.monotonic() - started, outcome)

    def start(
        self,
        argv: Sequence[str],
        *,
        binds: Sequence[Bind] = (),
        limits: Limits,
        env: Mapping[str, str] = NO_ENV,
        cwd: str = "/tmp",
        python: bool = True,
    ) -> BoxedProcess:
        words = [_outside(word, binds) for word in argv]
        stderr = tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            env={**BASE_ENV, **env},
            cwd=_outside(cwd, binds),
            start_new_session=True,
        )
        status = os.pipe()
        os.close(status[1])  # no bubblewrap, no report
        return BubblewrapProcess(process, Launch(words, status[0], (), None), stderr)


def _outside(word: str, binds: Sequence[Bind]) -> str:
    for bind in binds:
        if PurePosixPath(word).is_relative_to(bind.target):
            return str(bind.source / PurePosixPath(word).relative_to(bind.target))
    return word
