"""A seed model as a folder, for a cluster's model server: what is there stays, what can't be made is
reported."""

from pathlib import Path

import pytest

from shared.errors import TrainingError
from trainer_service.base import seed_folder

ANSWER = Path(__file__).parents[2] / "live" / "toolchains" / "tiny_python"


def test_a_model_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    assert seed_folder.main(["trimul", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_task_without_a_seed_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no seed corpus"):
        seed_folder.write(str(ANSWER), tmp_path / "seed")
    assert seed_folder.main([str(ANSWER), str(tmp_path / "seed")]) != 0
