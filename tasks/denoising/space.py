"""The space that a search arm of `ratchet compare` draws from: the pipelines of the seed harness, rendered by
it. The loop does not read this file."""

import pathlib
import runpy

HARNESS = pathlib.Path(__file__).parent / "harness"
SCAFFOLD = runpy.run_path(str(HARNESS / "scaffold.py"))
PIPELINE = (HARNESS / "prompts" / "pipeline.md").read_text(encoding="utf-8")
SPACE = SCAFFOLD["SPACE"]


def answer(point, instance):
    """The Python program of a pipeline, the same for every instance."""
    return SCAFFOLD["render"](point, PIPELINE)
