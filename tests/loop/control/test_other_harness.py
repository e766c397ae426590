"""Another harness over stored traces, in its box: what they can answer is answered, no more."""

from pathlib import Path

import pytest

from ratchet.replay.other_harness import OTHER_ANSWER, OTHER_CANDIDATE, OTHER_PROMPT, Other, play
from ratchet.replay.traces import read_traces
from shared.box.open import open_box
from shared.harness.bundle import load_harness
from shared.harness.steps import ScaffoldPool
from shared.messages.records import AttemptPlan, AttemptState, Candidate, Evaluation, Release, Sample, Turn
from shared.store.store import LocalStore, materialize, put_bundle
from shared.tasks.task import AttemptSection, Task, TaskManifest

MESSAGES = [{"role": "user", "content": "pick"}]
QUESTION = {"messages": MESSAGES, "n": 3, "temperature": 1.0, "max_tokens": 9}
SCAFFOLD = """
def step(instance, history, knobs, context):
    if not history:
        asked = [{"role": "user", "content": knobs["prompt"]}]
        return {"ask": [{"messages": asked, "n": 2, "max_tokens": 9}]}
    replies = history[0]["replies"]
    if knobs["tries"] and len(history) == 1:
        return {"try": [{"content": knobs["tries"]}]}
    if knobs["tries"]:
        return {"answer": {"content": str(history[1]["results"][0]["score"])}}
    return {"answer": {"content": max(replies) if knobs["best"] else min(replies)}}
"""
KNOBS = """
[knobs.prompt]
kind = "choice"
choices = ["pick", "guess"]
value = "{prompt}"
[knobs.tries]
kind = "choice"
choices = ["", "a", "z"]
value = "{tries}"
[knobs.best]
kind = "choice"
choices = [true, false]
value = {best}
"""


def attempt() -> AttemptState:
    """Three replies, of which "a" was answered: .2; "b" was tried: .7."""
    turns = (
        Turn(action={"ask": [QUESTION]}, replies=tuple(Sample(text=text) for text in "bac")),
        Turn(action={"try": [{"content": "b"}]}, results=(Evaluation(outcome="ok", score=0.7),)),
    )
    plan = AttemptPlan(
        attempt_id="x", instance={"id": "i"}, arm="train", release=Release(base="b", harness="h"), seed=1
    )
    final = Evaluation(outcome="ok", score=0.2)
    return AttemptState(plan=plan, turns=turns, answer=Candidate(content="a"), final=final)


@pytest.mark.parametrize(
    ("prompt", "tries", "best", "score", "why"),
    [
        ("pick", "", "true", 0.7, ""),  # selects another of the same two replies
        ("pick", "", "false", 0.2, ""),
        ("guess", "", "true", None, OTHER_PROMPT),
        ("pick", "z", "true", None, OTHER_CANDIDATE),
        ("pick", "a", "true", None, OTHER_ANSWER),
    ],
)
def test_a_stored_trace_answers_for_another_harness_what_it_holds(
    prompt: str, tries: str, best: str, score: float | None, why: str, tmp_path: Path
) -> None:
    knobs = KNOBS.format(prompt=prompt, tries=tries, best=best)
    files = {"harness.toml": knobs.encode(), "scaffold.py": SCAFFOLD.encode()}
    store = LocalStore(tmp_path / "store")
    digest = put_bundle(store, files)
    limits = AttemptSection(candidates=2, requests=4, step_s=20.0, step_memory_mb=256)
    task = Task(tmp_path, TaskManifest(name="toy", attempt=limits))
    with ScaffoldPool(open_box()) as pool:
        other = Other(task, load_harness(files), digest, materialize(store, digest, tmp_path / "cache"), pool)
        played = play(0, attempt(), read_traces([attempt()]), other)
    assert (played.score, played.why) == (score, why)
