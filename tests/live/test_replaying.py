"""Which of several patches does best on stored traces: a real scaffold in the box, old replies."""

from pathlib import Path

import pytest

from sandbox_service.evaluate import Evaluator
from sandbox_service.handlers import Deps, on_harness_proposed
from shared.box.open import open_box
from shared.config.settings import load_config
from shared.harness.bundle import bundle_digest
from shared.harness.steps import ScaffoldPool
from shared.messages.analysis import Replay
from shared.messages.events import HarnessProposed, HarnessRefused, HarnessValidated
from shared.messages.proposals import Edit, Patch
from shared.messages.records import (
    AttemptPlan,
    AttemptState,
    Candidate,
    Evaluation,
    Release,
    Sample,
    ShardState,
    Turn,
)
from shared.store.store import LocalStore, get_record, put_bundle, put_json

VERIFIER = """
def draw(split, count, seed):
    return [{"id": f"{split}-{i}", "right": str(i)} for i in range(count)]

def score(instance, answer):
    return float(answer == instance["right"])
"""
SCAFFOLD = """
def step(instance, history, knobs, context):
    if not history:
        text = context["prompts"]["user"] + instance["id"]
        return {"ask": [{"messages": [{"role": "user", "content": text}], "temperature": 0.5}]}
    return {"answer": {"content": history[0]["replies"][0], "samples": [0]}}
"""
FILES = {
    "harness.toml": b"",
    "scaffold.py": SCAFFOLD.encode(),
    "prompts/user.md": b"Which number? ",
}
READS = 'return {"answer": {"content": history[0]["replies"][0], "samples": [0]}}'
LAST_WORD = READS.replace('["replies"][0]', '["replies"][0].split()[-1]')
CRASHES = READS.replace('["replies"][0]', '["replies"][9]')


class Sandbox:
    """The sandbox's handler on a small task, with stored attempts whose answers were wrong for one reason:
    the scaffold took the whole reply."""

    def __init__(self, folder: Path) -> None:
        task = folder / "numbers"
        (task / "harness" / "prompts").mkdir(parents=True)
        (task / "task.toml").write_text(
            'name = "numbers"\ntoolchain = "answer"\n[attempt]\nrequests = 1\nmax_tokens = 20\nturns = 2\n'
        )
        (task / "verifier.py").write_text(VERIFIER)
        for name, data in FILES.items():
            (task / "harness" / name).write_bytes(data)
        self.store = LocalStore(folder / "store")
        self.base = put_bundle(self.store, FILES)
        self.config = put_json(self.store, load_config([{"run": {"task": str(task)}}]))
        self.evaluator = Evaluator(self.store, folder / "cache")
        self.pool = ScaffoldPool(open_box())
        self.deps = Deps(
            self.store, folder / "cache", self.evaluator.evaluate, self.evaluator.answers, self.pool
        )
        self.traces = put_json(self.store, ShardState(attempts=tuple(map(self.attempt, range(4)))))

    def attempt(self, number: int) -> AttemptState:
        instance = {"id": f"train-{number}", "right": str(number)}
        messages = [{"role": "user", "content": f"Which number? train-{number}"}]
        asked = {"messages": messages, "n": 1, "temperature": 0.5, "max_tokens": 20}
        reply = f"It is {number}"
        return AttemptState(
            plan=AttemptPlan(
                attempt_id=f"a{number}",
                instance=instance,
                arm="train",
                release=Release(base="b" * 64, harness=self.base),
                seed=number,
            ),
            turns=(Turn(action={"ask": [asked]}, replies=(Sample(text=reply),)),),
            answer=Candidate(content=reply, samples=(0,)),
            final=Evaluation(outcome="wrong", score=0.0),
        )

    def propose(self, *edits: tuple[str, str, str]) -> HarnessValidated | HarnessRefused:
        """One patch an edit: (file, old, new)."""
        patches = [
            put_json(
                self.store,
                Patch(
                    base=bundle_digest(FILES),
                    edits=(Edit(kind="replace_text", path=path, old=old, new=new),),
                    reason=f"patch {number}",
                ),
            )
            for number, (path, old, new) in enumerate(edits)
        ]
        event = HarnessProposed(
            run_id="r",
            generation=1,
            config=self.config,
            patch=patches[0],
            others=tuple(patches[1:]),
            smoke=(self.traces,),
            reason="patch 0",
        )
        [answer] = on_harness_proposed(event, deps=self.deps)
        assert isinstance(answer, HarnessValidated | HarnessRefused)
        return answer

    def replay(self, answer: HarnessValidated | HarnessRefused) -> Replay:
        return get_record(self.store, answer.replay, Replay)


@pytest.fixture
def sandbox(tmp_path: Path):
    made = Sandbox(tmp_path)
    yield made
    made.pool.close()
    made.evaluator.close()


def test_the_draft_that_reads_stored_replies_better_is_taken_though_it_came_last(sandbox: Sandbox):
    answer = sandbox.propose(
        ("prompts/user.md", "Which number? ", "Say a number: "),
        ("scaffold.py", READS, CRASHES),
        ("scaffold.py", READS, LAST_WORD),
    )
    assert isinstance(answer, HarnessValidated)
    asked_else, crashes, reads = sandbox.replay(answer).patches
    assert answer.patch == reads.patch
    assert answer.reason.startswith("patch 2")
    assert (reads.answered, reads.same_questions, reads.judged, reads.gain) == (4, 4, 4, 1.0)
    assert (asked_else.answered, asked_else.same_questions, asked_else.judged) == (4, 0, 0)
    assert "smoke run" in crashes.refused
    assert answer.cost.evaluations == 4


def test_where_traces_do_not_decide_the_senders_order_does(sandbox: Sandbox):
    answer = sandbox.propose(
        ("prompts/user.md", "Which number? ", "Say a number: "),
        ("prompts/user.md", "Which number? ", "A number, please: "),
    )
    assert isinstance(answer, HarnessValidated)
    assert answer.patch == sandbox.replay(answer).patches[0].patch


def test_where_no_draft_holds_the_lever_is_refused_with_each_reason(sandbox: Sandbox):
    answer = sandbox.propose(("scaffold.py", READS, CRASHES), ("verifier.py", "def", "fed"))
    assert isinstance(answer, HarnessRefused)
    assert "none of 2 drafts holds" in answer.reason
    assert all(one.refused for one in sandbox.replay(answer).patches)
