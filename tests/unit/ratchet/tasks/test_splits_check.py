"""What `ratchet validate` asks of a verifier's draw, on the template's task with a changed one."""

from pathlib import Path

import pytest

from ratchet.tasks.new_task import create
from ratchet.tasks.splits_check import check
from shared.errors import TaskError
from shared.tasks.task import load_task


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("for i in range(count)]", "for i in range(count // 2)]", r"draw\('train', 1, 1\) gives no instance"),
        ("for i in range(count)]", "for i in range(count + 1)]", "gives 17 instances"),
        ("for i in range(count)]", "for i in range(0)]", "gives no instance"),
        ('f"{split}-{seed}-{i}"', 'f"{split}-{random.random()}-{i}"', "differs from call to call"),
        ('f"{split}-{seed}-{i}"', 'f"{seed}-{i}"', "stands in train and in gate"),
    ],
)
def test_a_draw_that_breaks_its_promise_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    create(tmp_path / "words")
    verifier = tmp_path / "words" / "verifier.py"
    text = verifier.read_text()
    assert old in text
    verifier.write_text(text.replace(old, new))

    with pytest.raises(TaskError, match=message):
        check(load_task(str(tmp_path / "words")))
