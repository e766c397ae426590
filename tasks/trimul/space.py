"""The space that a search arm of `ratchet compare` draws from: the schedules of the seed harness, rendered by
it. The loop does not read this file."""

import pathlib
import runpy

HARNESS = pathlib.Path(__file__).parent / "harness"
SCAFFOLD = runpy.run_path(str(HARNESS / "scaffold.py"))
KERNEL = (HARNESS / "prompts" / "kernel.md").read_text(encoding="utf-8")
SPACE = SCAFFOLD["SPACE"]


def answer(point, instance):
    """The C program of a schedule, for the instance's shape."""
    return SCAFFOLD["render"](point, instance, KERNEL)
