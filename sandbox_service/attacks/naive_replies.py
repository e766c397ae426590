"""A naive parent of a kernel's process, for attacks on the reply: it starts our driver without its filter,
stops the clock when a reply comes, lets the process work until it waits for the next order, and then reads
the outputs.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import psutil

from sandbox_service.attacks import naive_program
from sandbox_service.attacks.naive import SAFE, SAFE_COMPILE, Verdict
from sandbox_service.toolchains.c.compiler import DRIVER, EXPORT
from sandbox_service.verify.layout import Arrays, Layout
from shared.box.kernel_call import LOADED, NUMBER_BYTES, SHUT_IN_DONE, read_exactly, read_there, write_whole
from shared.tasks.draw_program import load_verifier

SIZE = 160
CALLS = 15
READ_TIMEOUT_S = 10.0
WORK_S = 10.0  # that it may work after a reply
POLL_S = 0.005
FILTER = "    shut_in();\n"


def judge_kernel(source: str, task: Path, folder: Path) -> Verdict:
    """`speedup` is calls a second: to be compared with another's."""
    _compile(source, load_verifier(task).CALL, folder)
    inputs = _inputs()
    layout = Layout(inputs, {"out": (SIZE, SIZE)})
    arena = folder / "arena"
    arena.write_bytes(bytes(layout.size_bytes))
    words = [folder / "driver", folder / "kernel.so", arena, 1, *layout.words()]
    with (
        subprocess.Popen(
            [*SAFE, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        ) as process,
        arena.open("r+b") as memory,
    ):
        try:
            return _judged(process, memory.fileno(), layout, inputs)
        finally:
            process.kill()


def _judged(
    process: subprocess.Popen[bytes], memory: int, layout: Layout, inputs: Mapping[str, np.ndarray]
) -> Verdict:
    assert process.stdin is not None
    assert process.stdout is not None
    replies, fastest_s = process.stdout.fileno(), float("inf")
    if read_exactly(replies, 2, READ_TIMEOUT_S) != SHUT_IN_DONE + LOADED:
        return Verdict(hung=True)
    write_whole(memory, layout.packed(inputs))
    for _ in range(CALLS):
        started = time.perf_counter()
        os.write(process.stdin.fileno(), os.urandom(NUMBER_BYTES))
        reply = read_exactly(replies, NUMBER_BYTES, READ_TIMEOUT_S)
        fastest_s = min(fastest_s, time.perf_counter() - started)
        if reply is None or len(reply) < NUMBER_BYTES:
            return Verdict(hung=reply is None)
        _wait_until_idle(process.pid)
    out = layout.unpacked(read_there(memory, layout.outputs_start, layout.outputs_bytes))["out"]
    expected = naive_program.reference(*naive_program.make_inputs(SIZE))
    return Verdict(naive_program.is_close(out.astype(np.float32), expected), 1.0 / fastest_s)


def _wait_until_idle(pid: int) -> None:
    """Until it sleeps: on a busy machine no fixed time is long enough."""
    end_s = time.monotonic() + WORK_S
    while psutil.Process(pid).status() != psutil.STATUS_SLEEPING and time.monotonic() < end_s:
        time.sleep(POLL_S)


def _inputs() -> Arrays:
    a, b, mask = naive_program.make_inputs(SIZE)
    return {"dims": np.array([SIZE], np.int64), "a": a, "b": b, "mask": mask}


def _compile(source: str, call: str, folder: Path) -> None:
    text = DRIVER.read_text()
    assert FILTER in text
    texts = {"driver.c": text.replace(FILTER, ""), "kernel.c": source, "call.c": call + EXPORT}
    for name, content in texts.items():
        (folder / name).write_text(content)
    gcc = [*SAFE_COMPILE, "gcc", "-O2", "-w"]
    subprocess.run([*gcc, "driver.c", "-o", "driver"], cwd=folder, check=True)
    shared = ["-shared", "-fPIC", "kernel.c", "call.c", "-o", "kernel.so", "-lm"]
    subprocess.run([*gcc, *shared], cwd=folder, check=True)
