"""Runs a program of a task to its end. It looks at nothing that the program says."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence

from shared.children import kill_group
from shared.packaged import TOP


def ended(command: Sequence[str], given: bytes, timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    """`given` is its stdin. What it has started and left running ends with it: such a helper holds its stdout
    and stderr open, and would be waited for as long as it lives. Raises TimeoutExpired with what it had
    printed."""
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:backslashreplace"}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            cwd=TOP,
            env=environment,
            start_new_session=True,
        )
        try:
            process.communicate(given, timeout_s)
        except subprocess.TimeoutExpired as late:
            out.seek(0)
            late.stdout = out.read()
            raise
        finally:
            kill_group(process.pid)
            process.wait()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, out.read(), err.read())
