"""The seed harness of trimul_cuda: its steps, its schema, what it takes for a program; the seed corpus."""

import importlib.util
import json
import random
import subprocess
import sys

from sandbox_service.cuda_source import launch_meta, source_fault
from shared.actions import check_action
from shared.draw_program import load_verifier
from shared.harness import load_harness
from shared.store import read_folder
from shared.task import TASKS, load_task

FOLDER = TASKS / "trimul_cuda"
HARNESS = load_harness(read_folder(FOLDER / "harness"))
LIMITS = load_task("trimul_cuda").manifest.attempt
INSTANCE = {"B": 1, "N": 192, "C": 128, "mask": "random", "distribution": "normal", "seed": 5}
SHAPE = "Shape: B=1 N=192 C=128 H=128 mask=random x=normal"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


scaffold = load(FOLDER / "harness" / "scaffold.py")
SCHEDULE = scaffold.dump(scaffold.draw(random.Random(0)))


def a_step(history=(), knobs=None, exemplars=(), parent=None):
    context = {
        "prompts": HARNESS.prompts,
        "exemplars": list(exemplars),
        "parent": parent,
        "limits": LIMITS.model_dump(),
        "seed": 3,
    }
    action = scaffold.step(INSTANCE, list(history), {**HARNESS.values, **(knobs or {})}, context)
    return check_action(action, LIMITS, reply_count=LIMITS.requests)


def user_texts(action):
    return [request["messages"][-1]["content"] for request in action["ask"]]


def test_an_attempt_asks_tries_everything_and_answers_with_the_best():
    asked = a_step()
    assert len(asked["ask"]) == LIMITS.candidates
    history = [{"action": asked, "replies": [SCHEDULE, "nonsense"], "results": []}]
    tried = a_step(history)
    assert [entry["samples"] for entry in tried["try"]] == [[0], [1]]
    assert tried["try"][1]["content"] == "nonsense"
    results = [{"score": 0.2, "outcome": "ok"}, {"score": 0.0, "outcome": "compile_error"}]
    history.append({"action": tried, "replies": [], "results": results})
    assert a_step(history)["answer"] == tried["try"][0]


def test_the_seed_harness_shows_a_parent_where_the_archive_chose_one():
    asked = a_step(parent={"reply": SCHEDULE, "score": 1.0})
    assert user_texts(asked) == [f"{SHAPE}\nnear: {SCHEDULE}"] * LIMITS.candidates


def test_the_seed_harness_shows_no_exemplar_and_pins_nothing():
    asked = a_step(exemplars=[{"reply": SCHEDULE, "score": 1.0}])
    assert user_texts(asked) == [SHAPE] * LIMITS.candidates
    properties = asked["ask"][0]["schema"]["properties"]
    assert {name: entry["enum"] for name, entry in properties.items()} == scaffold.SPACE


def test_a_pinned_knob_has_one_value_in_the_schema_and_in_the_program():
    knobs = {"pin_tile_j": 128, "pin_sigmoid": "exp"}
    properties = a_step(knobs=knobs)["ask"][0]["schema"]["properties"]
    assert (properties["tile_j"], properties["sigmoid"]) == ({"enum": [128]}, {"enum": ["exp"]})
    fast = scaffold.dump({**json.loads(SCHEDULE), "tile_j": 64, "sigmoid": "tanh"})
    text = scaffold.candidate(fast, INSTANCE, knobs, HARNESS.prompts)
    assert "#define TILE_J 128\n" in text
    assert "#define SIGMOID EXP\n" in text


def test_every_pin_and_every_value_of_a_pin_is_one_of_the_schedule_space():
    for name, knob in HARNESS.knobs.items():
        if name.startswith("pin_"):
            assert knob.choices[1:] == scaffold.SPACE[name.removeprefix("pin_")]


def test_an_exemplar_or_the_parent_is_shown_when_a_knob_says_so():
    shown = [{"reply": "worst", "score": 0.1}, {"reply": "best", "score": 0.9}]
    assert user_texts(a_step(knobs={"exemplars": 1}, exemplars=shown))[0].endswith("\nnear: best")
    parent = {"reply": "mine", "score": 0.5, "content": ""}
    assert user_texts(a_step(knobs={"use_parent": True}, parent=parent))[0].endswith("\nnear: mine")


def test_a_large_model_gets_the_operator_the_kernels_and_a_free_hand():
    request = a_step(knobs={"verbose": True})["ask"][0]
    system = request["messages"][0]["content"]
    assert "schema" not in request
    assert request["max_tokens"] == LIMITS.max_tokens
    assert all(f"- {name}: " in system for name in scaffold.SPACE)
    assert "void __launch_bounds__" in system


def test_a_fenced_program_is_taken_as_it_is():
    reply = "Here it is:\n```cuda\n__global__ void project() {}\n```\nDone."
    assert scaffold.candidate(reply, INSTANCE, {}, HARNESS.prompts) == "__global__ void project() {}\n"


def test_a_schedule_is_found_in_prose_and_refused_unless_it_is_whole_and_in_the_space():
    whole = json.loads(SCHEDULE)
    assert scaffold.parse(f"I choose\n```json\n{SCHEDULE}\n```") == whole
    broken = [{**whole, "ring": 5}, {**whole, "prefetch": True}, {**whole, "extra": 1}, {"ring": 8}]
    for schedule in broken:
        assert scaffold.parse(json.dumps(schedule)) is None
    assert scaffold.parse('{"ring": ') is None


def test_a_program_names_the_schedule_it_came_from():
    text = scaffold.candidate(SCHEDULE, INSTANCE, {}, HARNESS.prompts)
    assert scaffold.parse(text.partition("\n")[0]) == json.loads(SCHEDULE)


def test_every_schedule_is_made_to_fit_at_every_number_of_channels():
    rng = random.Random(1)
    for channels in (128, 256, 384, 768):
        for _ in range(200):
            text = scaffold.render(scaffold.draw(rng), {**INSTANCE, "C": channels}, HARNESS.prompts["kernel"])
            launches = launch_meta(text)
            load_verifier(FOLDER).launch({**INSTANCE, "C": channels}, launches)
            assert source_fault(text) == ""


def test_the_seed_corpus_has_the_scaffolds_messages_and_answers_of_the_right_form():
    command = [sys.executable, FOLDER / "seed_corpus.py", "40", "1"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 40
    assert all(scaffold.dump(scaffold.parse(row["answer"])) == row["answer"] for row in rows)
    assert len({row["answer"] for row in rows}) == 40
    shown = [row for row in rows if "\nnear: " in row["messages"][-1]["content"]]
    assert len(shown) == 20
    plain = scaffold.messages(INSTANCE, HARNESS.prompts)
    assert rows[0]["messages"][0] == plain[0]
    copied = [_shared(row["messages"][-1]["content"].split("near: ")[1], row["answer"]) for row in shown]
    assert 0.6 < sum(copied) / len(copied) < 0.95


def _shared(near, answer):
    first, second = json.loads(near), json.loads(answer)
    return sum(first[name] == second[name] for name in first) / len(first)
