"""GEPA and OpenEvolve, as installed, behind the advisor's protocol in whole runs of feedback with a scripted
model: their texts are proposals like any others, and their calls are the run's.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.ledger.history.state import RunHistory
from shared.messages.analysis import Analysis
from shared.messages.proposals import Patch
from shared.store.store import get_record
from tests.loop.toy_world import World
from tests.parts.endpoint import Endpoint

GATE = {"screen_instances": 4, "round_instances": 4, "max_pairs": 8, "test_instances": 4}
PROMPT = "Answer {input} in one word.\n"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as running:
        yield running


def run(
    folder: Path, endpoint: Endpoint, engine: str, reply: str, **budget: int
) -> tuple[World, RunHistory, Analysis | None]:
    endpoint.answer = lambda body: reply
    advisor = {"url": endpoint.url, "name": endpoint.base, "drafts": 1, "engine": engine}
    sections: dict[str, Any] = {"run": {"generations": 1}, "gate": GATE, "advisor": advisor, "budget": budget}
    made = World(folder, sections)
    (folder / "task" / "harness" / "prompts" / "user.md").write_text(PROMPT)
    history = made.run()
    digest = history.generations[0].analysis if history.generations else ""
    return made, history, get_record(made.store, digest, Analysis) if digest else None


def said(history: RunHistory) -> str:
    proposal = history.generations[0].harness
    assert proposal is not None
    return proposal.reason


def proposed(made: World, history: RunHistory) -> Patch:
    proposal = history.generations[0].harness
    assert proposal is not None
    return get_record(made.store, proposal.digest, Patch)


def test_gepa_rewrites_a_prompt_from_train_traces(tmp_path: Path, endpoint: Endpoint) -> None:
    pytest.importorskip("gepa")
    reply = "Thoughts.\n```\nAnswer {input} in one word; round shapes score best.\n```"
    made, history, analysis = run(tmp_path, endpoint, "gepa", reply)
    [edit] = proposed(made, history).edits
    assert (edit.path, edit.old) == ("prompts/user.md", PROMPT)
    assert edit.new == "Answer {input} in one word; round shapes score best."
    [asked] = endpoint.asked
    prompt = asked["messages"][0]["content"]
    assert "Your task is to write a new instruction for the assistant." in prompt  # GEPA's own words
    assert "train-" in prompt
    assert "gate-" not in prompt
    assert history.cost.prompt_tokens == 3
    assert analysis is not None
    assert analysis.engine == "gepa"


def test_a_text_of_gepa_that_loses_a_placeholder_is_dropped_and_the_rules_propose(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    pytest.importorskip("gepa")
    made, history, analysis = run(tmp_path, endpoint, "gepa", "```\nAnswer in one word.\n```")
    assert "advisor" not in proposed(made, history).reason
    assert "the advisor's answer can't be used" in said(history)
    assert analysis is not None
    assert "must keep {input}" in analysis.drafts[0].dropped[0].why


def test_openevolve_changes_the_scaffold_by_search_and_replace(tmp_path: Path, endpoint: Endpoint) -> None:
    pytest.importorskip("openevolve")
    reply = "<<<<<<< SEARCH\n    return {}\n=======\n    return {'ask': []}\n>>>>>>> REPLACE"
    made, history, analysis = run(tmp_path, endpoint, "openevolve", reply)
    [edit] = proposed(made, history).edits
    assert (edit.path, edit.new) == ("scaffold.py", "    return {'ask': []}")
    [asked] = endpoint.asked
    assert "# Current Program Information\n- Fitness: 0." in asked["messages"][-1]["content"]  # its own words
    assert "train-" in asked["messages"][-1]["content"]
    assert analysis is not None
    assert analysis.engine == "openevolve"


@pytest.mark.parametrize(
    "reply", ["no change", "<<<<<<< SEARCH\nabsent\n", "<<<<<<< SEARCH\nabsent\n=======\ny\n>>>>>>> REPLACE"]
)
def test_what_openevolve_can_not_apply_leaves_the_proposal_to_the_rules(
    tmp_path: Path, endpoint: Endpoint, reply: str
) -> None:
    pytest.importorskip("openevolve")
    made, history, _ = run(tmp_path, endpoint, "openevolve", reply)
    assert "advisor" not in proposed(made, history).reason
    assert "the advisor's answer can't be used" in said(history)


@pytest.mark.parametrize("engine", ["gepa", "openevolve"])
def test_an_engine_asks_nothing_that_the_runs_budget_has_no_room_for(
    tmp_path: Path, endpoint: Endpoint, engine: str
) -> None:
    pytest.importorskip(engine)
    _, history, _ = run(tmp_path, endpoint, engine, "```\n{input}\n```", tokens=4500)
    assert endpoint.asked == []
    assert "budget.tokens" in said(history)
    assert history.state == "done"
