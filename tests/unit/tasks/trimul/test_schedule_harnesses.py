"""The seed harnesses of trimul and trimul_cuda: steps, schema, what counts as a program; the seed corpus."""

import json
import random
import subprocess
import sys
from functools import cached_property
from typing import Any

import pytest

from sandbox_service.toolchains.cuda.source import launch_meta, source_fault
from shared.harness.actions import check_action
from shared.harness.bundle import load_harness
from shared.store.store import read_folder
from shared.tasks.draw_program import load_verifier
from shared.tasks.task import load_task
from tests.parts.task_modules import load_module

C_SHAPE = {"B": 1, "N": 32, "C": 64, "mask": "random", "distribution": "normal", "seed": 5}
CUDA_SHAPE = {**C_SHAPE, "N": 192, "C": 128}


class Seed:
    """One task's seed harness. `pins` and `against`: a schedule's values, and others of the same names;
    `fenced`: how a model fences a program, and the program."""

    def __init__(self, task: str, instance: dict[str, Any], **words: Any) -> None:
        self.task, self.instance = load_task(task), instance
        self.harness = load_harness(read_folder(self.task.folder / "harness"))
        self.limits = self.task.manifest.attempt
        self.shape, self.pins, self.against, self.fenced, self.entry = (
            words[name] for name in ("shape", "pins", "against", "fenced", "entry")
        )

    @cached_property
    def scaffold(self) -> Any:
        return load_module(self.task.folder / "harness", "scaffold.py")

    @cached_property
    def schedule(self) -> str:
        return str(self.scaffold.dump(self.scaffold.draw(random.Random(0))))

    def step(
        self,
        history: Any = (),
        knobs: Any = None,
        exemplars: Any = (),
        parent: Any = None,
        candidates: int = 0,
    ) -> Any:
        many = {"candidates": candidates, "requests": candidates} if candidates else {}
        limits = self.limits.model_copy(update=many)
        context = {
            "prompts": self.harness.prompts,
            "exemplars": list(exemplars),
            "parent": parent,
            "limits": limits.model_dump(),
            "seed": 3,
        }
        values = {**self.harness.values, **(knobs or {})}
        action = self.scaffold.step(self.instance, list(history), values, context)
        return check_action(action, limits, reply_count=limits.requests)

    def candidate(self, reply: str, knobs: Any = None) -> str:
        return str(self.scaffold.candidate(reply, self.instance, knobs or {}, self.harness.prompts))


C = Seed(
    "trimul",
    C_SHAPE,
    shape="N=32 C=64 mask=random dist=normal",
    pins={"rows": 3, "sigmoid": "libm"},
    against={"rows": 4, "sigmoid": "newton"},
    fenced=("c", "void trimul(void) {}\n"),
    entry="void trimul(",
)
CUDA = Seed(
    "trimul_cuda",
    CUDA_SHAPE,
    shape="Shape: B=1 N=192 C=128 H=128 mask=random x=normal",
    pins={"tile_j": 128, "sigmoid": "exp"},
    against={"tile_j": 64, "sigmoid": "tanh"},
    fenced=("cuda", "__global__ void project() {}\n"),
    entry="void __launch_bounds__",
)
both = pytest.mark.parametrize("seed", [C, CUDA], ids=["trimul", "trimul_cuda"])


def user_texts(action: Any) -> list[str]:
    return [request["messages"][-1]["content"] for request in action["ask"]]


@both
def test_an_attempt_asks_tries_everything_and_answers_with_the_best(seed: Seed) -> None:
    asked = seed.step(candidates=2)
    assert len(asked["ask"]) == 2
    history = [{"action": asked, "replies": [seed.schedule, "nonsense"], "results": []}]
    tried = seed.step(history, candidates=2)
    assert [entry["samples"] for entry in tried["try"]] == [[0], [1]]
    assert tried["try"][1]["content"] == "nonsense"
    results = [{"score": 0.2, "outcome": "ok"}, {"score": 0.0, "outcome": "compile_error"}]
    history.append({"action": tried, "replies": [], "results": results})
    assert seed.step(history, candidates=2)["answer"] == tried["try"][0]


@both
def test_the_only_candidate_is_the_answer(seed: Seed) -> None:
    history = [{"action": seed.step(candidates=1), "replies": [seed.schedule], "results": []}]
    answer = seed.step(history, candidates=1)["answer"]
    assert answer == {"content": seed.candidate(seed.schedule), "samples": [0]}


@both
def test_the_seed_harness_shows_a_parent_where_the_archive_chose_one(seed: Seed) -> None:
    asked = seed.step(parent={"reply": seed.schedule, "score": 1.0})
    assert user_texts(asked) == [f"{seed.shape}\nnear: {seed.schedule}"] * max(1, seed.limits.candidates)


@both
def test_the_seed_harness_shows_no_exemplar_and_pins_nothing(seed: Seed) -> None:
    asked = seed.step(exemplars=[{"reply": seed.schedule, "score": 1.0}])
    assert user_texts(asked) == [seed.shape] * max(1, seed.limits.candidates)
    properties = asked["ask"][0]["schema"]["properties"]
    assert {name: entry["enum"] for name, entry in properties.items()} == seed.scaffold.SPACE


@both
def test_a_pinned_knob_has_one_value_in_the_schema_and_in_the_program(seed: Seed) -> None:
    knobs = {f"pin_{name}": value for name, value in seed.pins.items()}
    properties = seed.step(knobs=knobs)["ask"][0]["schema"]["properties"]
    other = seed.scaffold.dump({**json.loads(seed.schedule), **seed.against})
    text = seed.candidate(other, knobs)
    for name, value in seed.pins.items():
        assert properties[name] == {"enum": [value]}
        assert f"#define {name.upper()} {str(value).upper()}\n" in text


@both
def test_every_pin_and_every_value_of_a_pin_is_one_of_the_schedule_space(seed: Seed) -> None:
    pins = {name: knob for name, knob in seed.harness.knobs.items() if name.startswith("pin_")}
    assert pins
    for name, knob in pins.items():
        assert knob.choices[1:] == seed.scaffold.SPACE[name.removeprefix("pin_")]


@both
def test_an_exemplar_or_the_parent_is_shown_when_a_knob_says_so(seed: Seed) -> None:
    shown = [{"reply": "worst", "score": 0.1}, {"reply": "best", "score": 0.9}]
    assert user_texts(seed.step(knobs={"exemplars": 1}, exemplars=shown))[0].endswith("\nnear: best")
    parent = {"reply": "mine", "score": 0.5, "content": ""}
    assert user_texts(seed.step(knobs={"use_parent": True}, parent=parent))[0].endswith("\nnear: mine")


@both
def test_a_large_model_gets_the_operator_the_program_text_and_a_free_hand(seed: Seed) -> None:
    request = seed.step(knobs={"verbose": True})["ask"][0]
    system = request["messages"][0]["content"]
    assert "schema" not in request
    assert request["max_tokens"] == seed.limits.max_tokens
    assert all(f"- {name}" in system or f"; {name}: " in system for name in seed.scaffold.SPACE)
    assert seed.entry in system


def test_a_large_model_is_told_which_share_of_the_peak_each_stage_of_the_parent_reached() -> None:
    metrics = {
        "speedup": 30.04,
        "peak_gflops": 300.0,
        "peak_share_projections": 0.621,
        "peak_share_product": 0.4,
    }
    parent = {"reply": "mine", "score": 0.5, "content": "", "metrics": metrics}
    told = user_texts(C.step(knobs={"verbose": True}, parent=parent))[0].rpartition("near: mine\n")[2]
    assert "30.0 times" in told
    assert told.endswith("projections 0.62, product 0.40")
    assert user_texts(C.step(parent=parent))[0].endswith("near: mine")


@both
def test_a_fenced_program_is_taken_as_it_is(seed: Seed) -> None:
    language, program = seed.fenced
    assert seed.candidate(f"Here it is:\n```{language}\n{program}```\nDone.") == program


@both
def test_a_schedule_is_found_in_prose_and_refused_unless_it_is_whole_and_in_the_space(seed: Seed) -> None:
    whole = json.loads(seed.schedule)
    assert seed.scaffold.parse(f"I choose\n```json\n{seed.schedule}\n```") == whole
    number, flag = next(iter(seed.pins)), "threads" if "threads" in whole else "prefetch"
    broken = [{**whole, number: 99}, {**whole, flag: True}, {**whole, "extra": 1}, {number: whole[number]}]
    for schedule in broken:
        assert seed.scaffold.parse(json.dumps(schedule)) is None
    assert seed.scaffold.parse('{"' + number + '": ') is None


@both
def test_a_programs_first_line_is_the_schedule_that_runs(seed: Seed) -> None:
    first = seed.candidate(seed.schedule, {f"pin_{name}": value for name, value in seed.pins.items()})
    shown = json.loads(first.partition("\n")[0].strip("/* "))
    wanted = {**json.loads(seed.schedule), **seed.pins}
    if seed is CUDA:
        wanted = seed.scaffold.fitted(wanted, seed.instance["C"])
        assert wanted != {**json.loads(seed.schedule), **seed.pins}  # what does not fit is made smaller
    assert shown == (wanted if seed is CUDA else seed.scaffold.fitted(wanted))


def test_what_the_matrix_unit_can_t_run_is_changed_and_named_as_it_runs() -> None:
    asked = {**json.loads(C.schedule), "products": "bf16x3", "vec": 8}
    text = C.candidate(C.scaffold.dump(asked))
    assert C.scaffold.parse(text.partition("\n")[0]) == {**asked, "vec": 16}
    assert "#define VEC 16\n" in text


@both
def test_the_seed_corpus_has_the_scaffold_s_messages_and_answers_of_the_right_form(seed: Seed) -> None:
    command = [sys.executable, str(seed.task.folder / "seed_corpus.py"), "40", "1"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    answers = [row["answer"] for row in rows]
    assert len(set(answers)) == 40
    assert [seed.scaffold.dump(seed.scaffold.parse(answer)) for answer in answers] == answers
    shown = [row for row in rows if "\nnear: " in row["messages"][-1]["content"]]
    assert len(shown) == 30
    assert rows[0]["messages"][0] == seed.scaffold.messages(seed.instance, seed.harness.prompts)[0]
    copied = [_shared(row["messages"][-1]["content"].split("near: ")[1], row["answer"]) for row in shown]
    assert 0.85 < sum(copied) / len(copied) < 0.97
    assert any(share == 1 for share in copied)


@pytest.mark.slow
def test_every_cuda_schedule_is_made_to_fit_at_every_number_of_channels() -> None:
    rng, verifier = random.Random(1), load_verifier(CUDA.task.folder)
    for channels in (128, 256, 384, 768):
        shape = {**CUDA.instance, "C": channels}
        for _ in range(200):
            schedule = CUDA.scaffold.draw(rng)
            text = CUDA.scaffold.render(schedule, shape, CUDA.harness.prompts["kernel"])
            verifier.launch(shape, launch_meta(text))
            assert source_fault(text) == ""


def _shared(near: str, answer: str) -> float:
    first, second = json.loads(near), json.loads(answer)
    return sum(first[name] == second[name] for name in first) / len(first)
