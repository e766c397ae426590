"""How the seed model's corpus is cut into batches."""

from pathlib import Path

from trainer_service.base.seed_model import batches
from trainer_service.base.tokenizer import Example
from trainer_service.specs import SeedSpec


def test_a_step_takes_as_many_lines_as_the_task_asks_for_and_an_epoch_each_line_once():
    sizes = {"lines": 10, "steps": 5, "batch": 4, "hidden": 32, "layers": 1, "vocabulary": 270}
    spec = SeedSpec(corpus=Path("c"), out=Path("o"), result=Path("r"), **sizes)
    examples = [Example(prompt_ids=(n,), answer_ids=(n,) * (n + 1)) for n in range(10)]
    given = list(batches(examples, spec))
    assert len(given) == 5
    assert sorted(len(batch) for batch in given[:3]) == [2, 4, 4]
    assert sorted(example.prompt_ids for batch in given[:3] for example in batch) == [(n,) for n in range(10)]
