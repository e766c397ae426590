"""Whole runs with the real services whose advisor is a scripted endpoint: both levers' proposals are its own,
and pass the same box, trainer and gate as any others.
"""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ratchet.runs.folder import RunFolder
from shared.messages import events as e
from shared.messages.analysis import Analysis
from shared.messages.proposals import Patch, WeightUpdate
from shared.store.store import get_record
from tests.chaos.nemesis import Driven, gone
from tests.live.tasks.test_intents_run import queries
from tests.parts.endpoint import Body, Endpoint
from tests.parts.tiny_model import write_model

M = TypeVar("M", bound=e.Message)
RATCHET = str(Path(sys.executable).with_name("ratchet"))
SMALL = """
[run]
generations = 1
[rollouts]
instances = 4
attempts = 2
shard = 4
design = 0
[gate]
screen_instances = 2
round_instances = 2
max_pairs = 2
test_instances = 2
[training]
demonstrations = 6
max_kl = 1000.0
max_gap = 1000.0
"""


def scripted(knob: str, value: Any, algorithm: str) -> Any:
    """The first draft proposes the knob and the algorithm; the others fail in ways of their own."""
    good = {
        "findings": [{"what": "few are right", "evidence": "a1, a2"}],
        "harness": {"edits": [{"kind": "set_knob", "path": knob, "new": value}], "evidence": "a1 of g1"},
        "weights": {"algorithm": algorithm, "steps": 2, "learning_rate": 0.0005, "evidence": "g1"},
        "notes": "a first step",
    }
    other = good | {
        "harness": {
            "edits": [{"kind": "replace_text", "path": "verifier.py", "old": "d", "new": ""}],
            "evidence": "e",
        }
    }
    texts = ["I would rather not.", json.dumps(other), json.dumps(good)]

    def answer(body: Body) -> str:
        if "You improve an agent" not in body["messages"][0]["content"]:
            return "OK"  # whether the endpoint is well
        return texts.pop() if texts else json.dumps(good)

    return answer


def run(folder: Path, words: list[str], answer: Any) -> tuple[RunFolder, list[e.Message]]:
    with Endpoint(answer) as endpoint:
        advisor = ["--set", f"advisor.url={endpoint.url}", "--set", f"advisor.name={endpoint.base}"]
        command = [RATCHET, "run", *words, "--config", "my.toml", "--json", *advisor]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=900)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["state"] == "done"
    made = RunFolder(folder / "runs" / f"{words[0]}-1")
    return made, [logged.event for logged in made.open_ledger().events(made.run_id)]


def with_base(folder: Path) -> str:
    """A tiny random model, which is there at once, in the place of the task's own."""
    base = write_model(folder / "model")
    config = base / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 4096}))
    return f'[model]\nbase = "{base}"\n'


def one(events: list[e.Message], kind: type[M]) -> M:
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


def check(made: RunFolder, events: list[e.Message], knob: str, value: Any, algorithm: str) -> None:
    store = made.open_store()
    proposed = one(events, e.HarnessProposed)
    patch = get_record(store, proposed.patch, Patch)
    assert [(edit.path, edit.new) for edit in patch.edits] == [(knob, value)]
    assert proposed.reason == "advisor: a1 of g1"
    assert proposed.cost.prompt_tokens == 9  # three drafts, in the endpoint's own count
    update = get_record(store, one(events, e.WeightUpdateProposed).update, WeightUpdate)
    assert (update.algorithm, update.steps, update.learning_rate) == (algorithm, 2, 0.0005)
    assert isinstance(one(events, e.HarnessValidated).harness, str)
    assert one(events, e.AdapterPublished).adapter
    drafts = get_record(store, proposed.analysis, Analysis).drafts
    assert len(drafts) == 3
    assert sum(bool(draft.patch) for draft in drafts) == 1
    assert any("can be edited" in dropped.why for draft in drafts for dropped in draft.dropped)
    decisions = [x for x in events if isinstance(x, e.ReleasePromoted | e.ReleaseRejected)]
    assert len(decisions) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_intents_both_proposals_are_the_advisors(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(SMALL + with_base(tmp_path) + "[data]\nper_label = 4\n")
    queries(tmp_path / "mine.jsonl")
    answer = scripted("shots", 3, "supervised")
    made, events = run(tmp_path, ["intents", "--data", "mine.jsonl"], answer)
    check(made, events, "shots", 3, "supervised")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_trimul_both_proposals_are_the_advisors(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(SMALL + with_base(tmp_path))
    made, events = run(tmp_path, ["trimul"], scripted("temperature", 0.8, "reinforce"))
    check(made, events, "temperature", 0.8, "reinforce")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_long_answer_of_the_advisor_holds_up_neither_ctrl_c_nor_sigterm(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(SMALL + with_base(tmp_path))
    asked, end = threading.Event(), threading.Event()

    def answer(body: Body) -> str:
        if "You improve an agent" in body["messages"][0]["content"]:
            asked.set()
            end.wait(600)
        return "OK"

    with Endpoint(answer) as endpoint:
        advisor = ["--set", f"advisor.url={endpoint.url}", "--set", f"advisor.name={endpoint.base}"]
        arguments = ["run", "trimul", "--config", "my.toml", "--levers", "harness", *advisor]
        for number in (signal.SIGTERM, signal.SIGINT):
            driven = Driven(tmp_path, *arguments)
            try:
                assert asked.wait(400), driven.output()
                family = driven.family()
                driven.process.send_signal(number)
                assert driven.end() == 130
                assert gone(family)
                assert "`ratchet resume trimul-1` continues from here" in driven.output()
            finally:
                driven.process.kill()
            asked.clear()
            arguments = ["resume", "trimul-1"]
        end.set()
