"""TriMul on a user's own shapes."""

import json
from pathlib import Path

import pytest

from ratchet.tasks import task_data
from shared.config.settings import RunConfig
from shared.errors import SettingsError
from shared.tasks.draws import check_instances, draw
from shared.tasks.task import load_task

SHAPES = [{"N": 256, "C": 128}, {"id": "mine", "N": 96, "C": 64, "B": 2, "mask": "ones", "seed": 3}]


def _file(folder: Path, rows: list[object]) -> Path:
    (folder / "shapes.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return folder / "shapes.jsonl"


def test_every_split_draws_from_the_shapes_that_were_given(tmp_path: Path) -> None:
    summary = task_data.create(
        load_task("trimul"), _file(tmp_path, [*SHAPES]), tmp_path / "mine", RunConfig()
    )
    task = load_task(str(tmp_path / "mine"))

    assert summary["counts"] == {"shapes": 2}
    for split in ("train", "gate", "test"):
        drawn = draw(task, split, 40, seed=1)
        assert {(row["B"], row["N"], row["C"]) for row in drawn} == {(1, 256, 128), (2, 96, 64)}
        assert {row["mask"] for row in drawn if row["N"] == 96} == {"ones"}
        assert {row["mask"] for row in drawn if row["N"] == 256} == {"ones", "random"}
        assert len({row["id"] for row in drawn}) == 40
        check_instances(task, drawn)


def test_without_shapes_of_a_user_the_splits_share_no_line_length() -> None:
    lengths = [
        {row["N"] for row in draw(load_task("trimul"), split, 40, seed=1)}
        for split in ("train", "gate", "test")
    ]

    assert len(set.union(*lengths)) == sum(map(len, lengths))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"N": 64}, "line 2: C must be a whole number"),
        ({"N": 64, "C": 0}, "line 2: C must be a whole number from 1 to 1024, not 0"),
        ({"N": 64, "C": 64, "mask": "False"}, "line 2: mask must be true, false or one of"),
        ({"N": 64, "C": 64, "tile": 4}, "line 2: a shape has no tile"),
        ([64, 64], "line 2 is no JSON object such as"),
    ],
)
def test_a_shape_that_can_t_be_taken_is_named_by_its_line(row: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        task_data.create(
            load_task("trimul"), _file(tmp_path, [SHAPES[0], row]), tmp_path / "mine", RunConfig()
        )
    assert not (tmp_path / "mine").exists()


def test_instances_of_a_file_are_taken_as_they_are_and_named(tmp_path: Path) -> None:
    rows = [{"B": 1, "N": 40, "C": 32, "mask": True, "distribution": "normal", "seed": 5}, {**SHAPES[1]}]
    with task_data.examined(load_task("trimul"), _file(tmp_path, [*rows]), tmp_path) as (_, found):
        assert found == [{"id": "shapes-1"} | rows[0], rows[1]]
