"""The seed harness of denoising: its steps, its schema, the programs that pipelines become."""

import json
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from shared.harness.actions import check_action
from shared.harness.bundle import load_harness
from shared.harness.scaffold_check import scaffold_fault
from shared.store.store import read_folder
from shared.tasks.task import load_task
from tests.parts.denoising import TASK, made_counts, part

HARNESS = load_harness(read_folder(TASK / "harness"))
LIMITS = load_task("denoising").manifest.attempt
INSTANCE = {"cells": 105, "genes": 765, "depth": 653}
TEXT = HARNESS.prompts["pipeline"]
scaffold = part("scaffold")
PIPELINE = scaffold.draw(random.Random(0))
PLAIN = {"transform": "log", "genes": 0, "pca": 8, "neighbours": 10, "steps": 1, "kernel": "gauss"}
PLAIN |= {"factoring": "nmf", "rank": 2, "prior": 0.1, "rounds": 30, "restarts": 2, "order": "apart"}
PLAIN |= {"blend": "fitted", "mean": 0, "own": 10, "mass": "match"}


def a_step(history: Any = (), knobs: Any = None, limits: Any = LIMITS, **context: Any) -> Any:
    context = {
        "prompts": HARNESS.prompts,
        "exemplars": [],
        "parent": None,
        "limits": limits.model_dump(),
        "seed": 3,
        **context,
    }
    action = scaffold.step(INSTANCE, list(history), {**HARNESS.values, **(knobs or {})}, context)
    return check_action(action, limits, reply_count=limits.requests)


def denoise(pipeline: dict[str, Any], counts: Any) -> Any:
    """What the rendered program returns, run here."""
    names: dict[str, Any] = {}
    exec(scaffold.render(pipeline, TEXT), names)
    return names["denoise"](counts)


def test_the_scaffold_is_one():
    assert scaffold_fault((TASK / "harness" / "scaffold.py").read_text()) == ""


def test_one_reply_is_asked_for_and_its_program_is_the_answer():
    (request,) = a_step()["ask"]
    assert request["schema"]["properties"]["blend"] == {"enum": scaffold.SPACE["blend"]}
    assert "cells=105 genes=765 depth=653" in request["messages"][-1]["content"]
    turn = {"action": {"ask": [request]}, "replies": [scaffold.dump(PIPELINE)], "results": []}
    answer = a_step([turn])["answer"]
    assert answer == {"content": scaffold.render(PIPELINE, TEXT), "samples": [0]}


def test_where_several_candidates_may_be_tried_the_best_is_the_answer():
    limits = LIMITS.model_copy(update={"candidates": 2, "requests": 2})
    replies = [scaffold.dump(PIPELINE), scaffold.dump(PLAIN)]
    asked = a_step(limits=limits)
    assert len(asked["ask"]) == 2
    tried = a_step([{"action": asked, "replies": replies, "results": []}], limits=limits)
    results = [{"score": 0.1}, {"score": 0.2}]
    history = [
        {"action": asked, "replies": replies, "results": []},
        {"action": tried, "replies": [], "results": results},
    ]
    assert a_step(history, limits=limits)["answer"]["content"] == scaffold.render(PLAIN, TEXT)


def test_a_fenced_program_is_taken_as_it_is_and_what_is_neither_goes_unchanged():
    program = "def denoise(counts):\n    return counts\n"
    knobs = HARNESS.values
    assert scaffold.candidate(f"Here:\n```python\n{program}```\nDone.", knobs, HARNESS.prompts) == program
    strange = (
        "none",
        '{"transform":"log"}',
        scaffold.dump(PLAIN).replace("10", "11"),
        scaffold.dump(PLAIN)[:-1],
    )
    for reply in strange:
        assert scaffold.candidate(reply, knobs, HARNESS.prompts) == reply


def test_a_pinned_field_holds_in_schema_and_program():
    knobs = HARNESS.values | {"pin_own": 30, "pin_mass": "match"}
    assert scaffold.schema(knobs)["properties"]["own"] == {"enum": [30]}
    reply = scaffold.dump(PLAIN | {"own": 0, "mass": "keep"})
    assert scaffold.candidate(reply, knobs, HARNESS.prompts) == scaffold.render(PLAIN | {"own": 30}, TEXT)


def test_every_pin_knob_offers_the_values_of_its_field():
    pinned = {
        name.removeprefix("pin_"): knob for name, knob in HARNESS.knobs.items() if name.startswith("pin_")
    }
    assert pinned
    for name, knob in pinned.items():
        assert knob.choices == ["free", *scaffold.SPACE[name]]


def test_parent_and_exemplars_are_shown_where_the_harness_says_so():
    parent = {"content": "x", "reply": "PARENT", "score": 0.3}
    exemplars = [{"reply": "GOOD", "score": 0.9}, {"reply": "BAD", "score": 0.1}]
    shown = a_step(parent=parent)["ask"][0]["messages"][-1]["content"]
    assert shown.endswith("near: PARENT")
    shown = a_step(knobs={"exemplars": 1}, exemplars=exemplars)["ask"][0]["messages"][-1]["content"]
    assert shown.endswith("near: GOOD")


def test_a_large_model_reads_the_task_and_the_program_text():
    request = a_step(knobs={"verbose": True})["ask"][0]
    assert "schema" not in request
    assert "def poisson_nmf" in request["messages"][0]["content"]


@pytest.mark.parametrize("seed", range(12))
def test_pipelines_drawn_at_random_are_estimates(seed: int):
    """Every one runs, is finite, and breaks no rule unless it states that it keeps the mass as it comes."""
    counts = made_counts(seed=seed)
    pipeline = scaffold.draw(random.Random(seed)) | {"mass": "match"}
    train, held_out = part("verifier").thinning.split_molecules(counts, np.random.default_rng(seed))
    estimate = denoise(pipeline, train)
    assert estimate.shape == train.shape
    assert np.isfinite(estimate).all()
    found = part("verifier").evaluation(estimate, train, held_out)
    assert found["outcome"] == "ok" or found["detail"].startswith("dump"), found["detail"]


@pytest.mark.parametrize("blend", ["graph", "factors", "even", "fitted"])
def test_two_kinds_of_cells_are_told_apart(blend: str):
    """Better than the mean of all cells, which is what knows nothing of kinds."""
    verifier = part("verifier")
    train, held_out = verifier.thinning.split_molecules(made_counts(), np.random.default_rng(0))
    assert verifier.evaluation(denoise(PLAIN | {"blend": blend}, train), train, held_out)["score"] > 0.5


@pytest.mark.parametrize(
    "fields",
    [
        {"kernel": "shared", "blend": "graph"},
        {"transform": "pearson", "blend": "graph"},
        {"factoring": "shrunk", "blend": "factors"},
        {"neighbours": "chosen", "rank": "chosen"},
        {"own": "by_gene"},
    ],
    ids=str,
)
def test_every_way_to_estimate_tells_two_kinds_of_cells_apart(fields: dict[str, Any]):
    verifier = part("verifier")
    train, held_out = verifier.thinning.split_molecules(made_counts(), np.random.default_rng(0))
    assert verifier.evaluation(denoise(PLAIN | fields, train), train, held_out)["score"] > 0.5


def test_a_chosen_number_of_neighbours_is_the_one_that_held_out_molecules_prefer():
    """Cells of one kind alone: the more neighbours, the better."""
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(0.5, (100, 60)).astype(np.float32))
    graph = {"blend": "graph", "own": 0}
    chosen, widest = (denoise(PLAIN | graph | {"neighbours": k}, counts) for k in ("chosen", 80))
    np.testing.assert_array_equal(chosen, widest)


def test_a_pipeline_gives_the_same_estimate_again():
    counts = made_counts()
    assert np.array_equal(denoise(PLAIN, counts), denoise(PLAIN, counts))


def test_the_seed_corpus_holds_answers_of_the_schema_and_nothing_of_scores():
    command = [sys.executable, str(TASK / "seed_corpus.py"), "6", "1"]
    lines = [json.loads(line) for line in subprocess.check_output(command, text=True).splitlines()]
    assert len(lines) == 6
    for number, line in enumerate(lines):
        assert scaffold.parse(line["answer"]) is not None
        assert ("near:" in line["messages"][-1]["content"]) == bool(number % 4)
        assert "score" not in json.dumps(line)
    assert subprocess.check_output(command, text=True).splitlines() == [json.dumps(line) for line in lines]
