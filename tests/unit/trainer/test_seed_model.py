"""The seed model's batches; and it as a folder, for a cluster's model server: what is there stays, what
can't be made is reported."""

from pathlib import Path

import pytest

from shared.errors import TrainingError
from trainer_service.base import seed_folder
from trainer_service.base.seed_model import batches
from trainer_service.base.tokenizer import Example
from trainer_service.specs import SeedSpec

ANSWER = Path(__file__).parents[2] / "live" / "toolchains" / "tiny_python"


def test_a_model_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    assert seed_folder.main(["trimul", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_task_without_a_seed_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no seed corpus"):
        seed_folder.write(str(ANSWER), tmp_path / "seed")
    assert seed_folder.main([str(ANSWER), str(tmp_path / "seed")]) != 0


def test_a_step_takes_as_many_lines_as_the_task_asks_for_and_an_epoch_each_line_once():
    sizes = {"lines": 10, "steps": 5, "batch": 4, "hidden": 32, "layers": 1, "vocabulary": 270}
    spec = SeedSpec(corpus=Path("c"), out=Path("o"), result=Path("r"), **sizes)
    examples = [Example(prompt_ids=(n,), answer_ids=(n,) * (n + 1)) for n in range(10)]
    given = list(batches(examples, spec))
    assert len(given) == 5
    assert sorted(len(batch) for batch in given[:3]) == [2, 4, 4]
    assert sorted(example.prompt_ids for batch in given[:3] for example in batch) == [(n,) for n in range(10)]
