"""The seed models that come with tasks of a declared space: what their prompt shows can be built upon."""

import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from shared.tasks.task import load_task
from trainer_service.base.seed_base import build_seed
from trainer_service.base.seed_model import answer_loss
from trainer_service.base.tokenizer import Line, encode

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", ["trimul", "denoising"])
def test_a_seed_model_finds_what_its_prompt_shows_likelier_than_another_answer(name, tmp_path, engine_room):
    task = load_task(name)
    build_seed(task, tmp_path / "seed")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "seed")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "seed")
    program = [sys.executable, str(task.folder / "seed_corpus.py"), "80", "12345"]
    rows = [json.loads(row) for row in subprocess.check_output(program, text=True).splitlines()]
    shown = [row for row in rows if "near: " in row["messages"][-1]["content"]]
    answers = [row["messages"][-1]["content"].split("near: ")[1].strip() for row in shown]

    def loss(answer_of_row):
        pairs = zip(shown, answer_of_row, strict=True)
        lines = [Line(tuple(row["messages"]), answer) for row, answer in pairs]
        with torch.no_grad():
            return float(answer_loss(model, [encode(tokenizer, line) for line in lines]))

    assert loss(answers) < 0.5 * loss([*answers[1:], answers[0]])
