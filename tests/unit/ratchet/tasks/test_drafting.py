"""The first harness of a described task: by the shape of its answers without a model, the best of drafts
with one. Drafts run in the box, on train rows, with the task's own verifier.
"""

import json
from contextlib import closing
from pathlib import Path

import pytest

from ratchet.tasks import from_jsonl
from ratchet.tasks.drafting.drafts import ask, read
from ratchet.tasks.drafting.shapes import shape_of
from ratchet.tasks.validate import validate
from shared.config.settings import AdvisorSection, RunConfig, load_config
from shared.errors import SettingsError
from shared.harness.bundle import load_harness
from shared.harness.folder import read_harness
from shared.model.opening import open_chat
from shared.store.store import LocalStore
from tests.parts.endpoint import Body, Endpoint, Fault

TEMPLATE = read_harness(from_jsonl.TEMPLATE / "harness")
TASK = "Add both numbers."


def rows_file(folder: Path) -> Path:
    rows = [{"input": f"{a} plus {a + 7}?", "answer": str(2 * a + 7)} for a in range(120)]
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("answers", "kind", "metric"),
    [
        (["card", "cash", "pin"] * 10, "label", "exact"),
        (["1", "-2.5", "3,000", "4e-3"] * 3, "number", "numeric"),
        (["def f(x):\n    return x", "import os\nprint(1)", "x = 1"], "code", "exact"),
        ([f"a short text of number {n}" for n in range(30)], "whole", "f1"),
        (["1", "2", "3"] * 10, "number", "numeric"),
        (["one\ntwo"] * 10, "whole", "f1"),
    ],
)
def test_the_shape_of_answers_is_told_from_the_rows(answers: list[str], kind: str, metric: str) -> None:
    shape = shape_of(answers)
    assert (shape.kind, shape.metric) == (kind, metric)


@pytest.mark.slow
def test_without_a_model_the_template_of_that_shape_is_tried_and_valid(tmp_path: Path) -> None:
    lines = from_jsonl.create(tmp_path / "sums", rows_file(tmp_path), describe=TASK)
    assert "answers: a number; drafts of the first harness:" in lines
    assert "  the template: reads right answers 100%" in lines
    harness = load_harness(read_harness(tmp_path / "sums" / "harness"))
    assert harness.prompts["system"] == f"{TASK}\nReply with the number alone.\n"
    assert harness.values["read"] == "number"
    assert all(check.ok for check in validate(str(tmp_path / "sums")))


def test_labels_are_listed_in_the_prompt() -> None:
    assert shape_of(["cash", "card"] * 9).asks_for == "Reply with one of these labels alone: card, cash."


class Model:
    """Drafts in turn as the advisor; as the agent it is right where its prompt says `carefully`."""

    def __init__(self, *drafts: str) -> None:
        self.drafts = list(drafts)

    def __call__(self, body: Body) -> str:
        system, user = body["messages"][0]["content"], body["messages"][-1]["content"]
        if "You write the first harness of an agent" in system:
            return self.drafts.pop(0)
        a, b = user.split("Input: ")[-1].split("?")[0].split(" plus ")
        return f"The sum is {int(a) + int(b)}." if "carefully" in system else "It is 0."


def draft(system: str, **more: object) -> str:
    return json.dumps({"system": system, "user": "{examples}Input: {input}\nAnswer:", **more})


def drafted(folder: Path, model: Model) -> list[str]:
    with Endpoint(model) as endpoint:
        advisor = {"url": endpoint.url, "name": endpoint.base, "drafts": len(model.drafts)}
        config: RunConfig = load_config([{"advisor": advisor}])
        return from_jsonl.create(folder / "sums", rows_file(folder), describe=TASK, config=config)


@pytest.mark.slow
def test_of_several_drafts_the_one_that_answers_best_on_train_rows_is_kept(tmp_path: Path) -> None:
    crash = "def step(instance, history, knobs, context):\n    return 1 / 0\n"
    lines = drafted(
        tmp_path, Model(draft("Add."), "I can't.", draft("Add carefully."), draft("Add.", scaffold=crash))
    )
    assert "scores 0.00" in next(line for line in lines if line.startswith("  the template:"))
    assert any("left out: there is no JSON object" in line for line in lines)
    assert any("left out" in line and "ZeroDivisionError" in line for line in lines)
    assert any("scores 1.00 on" in line for line in lines)
    assert any("  kept: draft" in line and "tokens were used" in line for line in lines)
    harness = load_harness(read_harness(tmp_path / "sums" / "harness"))
    assert harness.prompts["system"] == "Add carefully.\n"
    assert harness.values["read"] == "number"
    assert all(check.ok for check in validate(str(tmp_path / "sums")))


@pytest.mark.slow
def test_where_no_draft_is_better_the_template_stays(tmp_path: Path) -> None:
    lines = drafted(tmp_path, Model(draft("Add.")))
    assert any("kept: the template" in line for line in lines)
    assert (tmp_path / "sums/harness/prompts/system.md").read_text().startswith(TASK)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("no", "no JSON object"),
        (draft(""), "system"),
        (json.dumps({"system": "s", "user": "no place for it"}), "user"),
        (draft("s", verifier="x"), "verifier"),
        (draft("s", scaffold="import os"), "os"),
        (draft("s", knobs={"shots": 10**400}), ""),
        (draft("s", knobs={"shots": 2, "read": "code"}), "2 is none of"),
        (draft("\ud800"), ""),
        ("{" * 5000, "no JSON object"),
    ],
)
def test_a_draft_is_data_and_its_faults_are_named(text: str, fault: str) -> None:
    found = read("draft 1", text, TEMPLATE)
    assert fault in found.fault
    if found.files:
        assert set(found.files) == set(TEMPLATE)
        assert load_harness(found.files).values["shots"] == 1


def test_drafts_that_were_answered_are_used_although_one_beside_them_was_not(tmp_path: Path) -> None:
    text = json.dumps({"system": "Add.", "user": "{input}"})
    with Endpoint(lambda body: text) as endpoint:
        endpoint.faults = [Fault(429, headers={"Retry-After": "20"}), Fault(400, b'{"error": "flagged"}')]
        section = AdvisorSection(url=endpoint.url, name=endpoint.base, drafts=3)
        with closing(open_chat(section, LocalStore(tmp_path), concurrency=1)) as chat:
            drafts, cost = ask(chat, section, TASK, shape_of(["1", "2", "3"]), [("1 plus 0", "1")], TEMPLATE)
    assert [bool(draft.files) for draft in drafts] == [False, False, True]
    assert "429" in drafts[0].fault
    assert "flagged" in drafts[1].fault
    assert cost.prompt_tokens == 3


def test_a_description_without_examples_is_a_clear_mistake(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from ratchet.cli.main import app

    done = CliRunner().invoke(app, ["init", str(tmp_path / "t"), "--describe", TASK])
    assert isinstance(done.exception, SettingsError)
    assert "--examples FILE" in done.exception.hint
