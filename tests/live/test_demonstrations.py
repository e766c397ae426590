"""Right answers on their way into prompts, with the real verifier process and the real box: of train
instances alone, and a scaffold that fails costs no score."""

import json
import shutil
from pathlib import Path

import pytest

from sandbox_service.evaluate import Evaluator
from sandbox_service.handlers import Deps, on_demonstrations_requested
from sandbox_service.verify.process import VerifierProcess
from shared.box.open import open_box
from shared.config.settings import load_config
from shared.errors import VerifierError
from shared.harness.steps import ScaffoldPool
from shared.messages.events import DemonstrationsReady, DemonstrationsRequested, Join
from shared.messages.proposals import Demonstrations, Edit, Patch
from shared.store.store import LocalStore, get_record, put_bundle, put_json, read_folder
from shared.tasks.draws import draw
from shared.tasks.task import TASKS, load_task
from tests.parts.slow import one_in

JOIN = Join(id="j", slot="weights", expected=2)
INTENTS = TASKS / "intents"
SCAFFOLD = """
def step(instance, history, knobs, context):
    return {"answer": {"content": "x", "samples": []}}
def demonstrate(instance, answer, knobs, context):
    if not answer:
        return []
    query = "Query: x\\n" * knobs["shots"] + "Query: " + instance["text"]
    return [{"messages": [{"role": "user", "content": query}], "reply": answer}]
"""  # imports nothing: the task's own takes seconds to start


@pytest.fixture(scope="module")
def deps(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("sandbox")
    store = LocalStore(folder / "store")
    evaluator = Evaluator(store, folder / "cache")
    with ScaffoldPool(open_box()) as pool:
        yield Deps(store, folder / "cache", evaluator.evaluate, evaluator.answers, pool)
    evaluator.close()


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The intents task with 32 train instances."""
    copy = tmp_path_factory.mktemp("few") / "intents"
    shutil.copytree(INTENTS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    lines = (copy / "data" / "train.jsonl").read_text().splitlines(keepends=True)
    (copy / "data" / "train.jsonl").write_text("".join(lines[::5]))
    return copy


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory, few: Path) -> Path:
    """The same with a scaffold that starts at once."""
    copy = tmp_path_factory.mktemp("quick") / "intents"
    shutil.copytree(few, copy)
    (copy / "harness" / "scaffold.py").write_text(SCAFFOLD)
    return copy


def ready(
    deps: Deps, task: Path, count: int = 1000, posted: str = "", patch: str = ""
) -> DemonstrationsReady:
    event = DemonstrationsRequested(
        run_id="r",
        generation=1,
        join=JOIN,
        config=put_json(deps.store, load_config([{"run": {"task": str(task)}}])),
        harness=put_bundle(deps.store, read_folder(task / "harness")),
        count=count,
        seed=3,
        posted=posted,
        patch=patch,
    )
    (emitted,) = on_demonstrations_requested(event, deps=deps)
    assert isinstance(emitted, DemonstrationsReady)
    assert (emitted.join, emitted.generation) == (JOIN, 1)
    return emitted


def changed(task: Path, tmp_path: Path, old: str, new: str, file: str) -> Path:
    """A copy of a task with one passage replaced."""
    copy = tmp_path / "intents"
    shutil.copytree(task, copy)
    text = (copy / file).read_text()
    assert text.count(old) == 1
    (copy / file).write_text(text.replace(old, new))
    return copy


def test_demonstrations_are_of_train_instances_and_never_of_gate_or_test(deps: Deps, few: Path) -> None:
    emitted = ready(deps, few)
    items = get_record(deps.store, emitted.demonstrations, Demonstrations).items
    ids = {
        split: {i["id"] for i in draw(load_task(str(few)), split, 1000, 0)}
        for split in ("train", "gate", "test")
    }
    shown = {item.instance_id for item in items}
    assert len(items) == emitted.count > 0.8 * len(ids["train"])
    assert shown <= ids["train"]
    assert not shown & (ids["gate"] | ids["test"])
    assert all(item.messages[-1].content.count("Query: ") == 1 for item in items)
    assert emitted.cost.box_s > 0


def with_one_shot(deps: Deps, task: Path) -> str:
    base = put_bundle(deps.store, read_folder(task / "harness"))
    edit = Edit(kind="set_knob", path="shots", old=None, new=1)
    return put_json(deps.store, Patch(base=base, edits=(edit,), reason="one example"))


def test_an_adapter_learns_the_prompts_of_the_live_harness_and_of_the_proposed_one(
    deps: Deps, quick: Path
) -> None:
    alone = get_record(deps.store, ready(deps, quick).demonstrations, Demonstrations).items
    emitted = ready(deps, quick, patch=with_one_shot(deps, quick))
    both = get_record(deps.store, emitted.demonstrations, Demonstrations).items
    assert emitted.count == 2 * len(alone)
    assert both[: len(alone)] == alone
    queries = [item.messages[-1].content.count("Query: ") for item in both[len(alone) :]]
    assert set(queries) == {2}  # its own, and that of the example


def test_where_both_would_be_too_many_every_second_answer_is_in_the_proposed_prompts(
    deps: Deps, quick: Path
) -> None:
    emitted = ready(deps, quick, count=40, patch=with_one_shot(deps, quick))
    items = get_record(deps.store, emitted.demonstrations, Demonstrations).items
    shown = [item.messages[-1].content.count("Query: ") for item in items]
    assert len({item.instance_id for item in items}) == len(items) == emitted.count <= 40
    assert 0 <= shown.count(2) - shown.count(1) <= 1


def test_a_patch_that_does_not_apply_leaves_the_live_prompts(deps: Deps, quick: Path, tmp_path: Path) -> None:
    other = changed(quick, tmp_path, "[knobs.shots]", "[knobs.few]", "harness/harness.toml")
    assert ready(deps, quick, patch=with_one_shot(deps, other)).count == ready(deps, quick).count


def test_a_proposed_scaffold_that_shows_nothing_leaves_the_live_prompts_and_says_why(
    deps: Deps, quick: Path
) -> None:
    base = put_bundle(deps.store, read_folder(quick / "harness"))
    old = "    if not answer:\n        return []\n"
    edit = Edit(kind="replace_text", path="scaffold.py", old=old, new="    1 / 0\n" + old)
    patch = put_json(deps.store, Patch(base=base, edits=(edit,), reason="broken"))
    emitted = ready(deps, quick, count=30, patch=patch)
    assert emitted.count == ready(deps, quick, count=30).count
    assert "demonstrate of the proposed harness failed: " in emitted.reason
    assert "ZeroDivisionError" in emitted.reason


def test_a_verifier_that_would_tell_every_label_is_still_asked_for_train_instances_only(
    deps: Deps, quick: Path, tmp_path: Path
) -> None:
    tells_all = "return [LABEL[instance['id']]]"
    old = "return [right] if right else []"
    task = load_task(str(changed(quick, tmp_path, old, tells_all, "verifier.py")))
    train = {instance["id"] for instance in draw(task, "train", 1000, 0)}
    evaluator = Evaluator(deps.store, tmp_path / "cache")
    listed = evaluator.answers(task, 1000, 5)
    evaluator.close()
    assert {instance["id"] for instance, _ in listed} == train


def test_a_query_whose_right_label_a_user_posted_teaches_and_one_that_was_not_posted_does_not(
    deps: Deps,
    quick: Path,
) -> None:
    labels = json.loads((quick / "public" / "labels.json").read_text())
    query = {"text": "my pink card is stuck in the machine", "_label": labels[3]}
    posted = put_json(deps.store, [{"id": "posted-1", **query}, {"id": "other-1", **query}])
    emitted = ready(deps, quick, count=1, posted=posted)
    items = get_record(deps.store, emitted.demonstrations, Demonstrations).items
    assert "posted-1" in {item.instance_id for item in items}
    assert "other-1" not in {item.instance_id for item in items}
    (shown,) = [item for item in items if item.instance_id == "posted-1"]
    assert labels[3] in shown.reply
    assert "my pink card" in shown.messages[-1].content


def test_the_verifiers_process_returns_no_answers_of_another_split(deps: Deps) -> None:
    with VerifierProcess(load_task("intents")) as verifier, pytest.raises(VerifierError, match="split"):
        verifier.ask("answers", count=1, seed=0, split="test")


def test_answers_that_are_no_texts_are_the_verifiers_mistake(deps: Deps, quick: Path, tmp_path: Path) -> None:
    old = "return [right] if right else []"
    with pytest.raises(VerifierError, match="list of texts"):
        ready(deps, changed(quick, tmp_path, old, 'return "label"', "verifier.py"), count=1)


@pytest.mark.parametrize(
    ("new", "reason"),
    one_in(
        2,
        [
            ("    1 / 0\n    if not answer:\n        return []\n", "ZeroDivisionError"),
            (
                '    return [{"messages": [], "reply": "x"}]\n',
                "not a list of demonstrations: shown.0.messages",
            ),
            ("    return answer\n", "not a list of demonstrations"),
            ("    return []\n", ""),
        ],
    ),
)
def test_a_scaffold_that_shows_nothing_is_an_answer_with_the_reason(
    deps: Deps, quick: Path, tmp_path: Path, new: str, reason: str
) -> None:
    old = "    if not answer:\n        return []\n"
    emitted = ready(deps, changed(quick, tmp_path, old, new, "harness/scaffold.py"), count=30)
    assert (emitted.demonstrations, emitted.count) == ("", 0)
    assert reason in emitted.reason
