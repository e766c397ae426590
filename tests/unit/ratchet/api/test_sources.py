"""Functions as source text: what they use around them comes along, and what can't is named."""

import math
import random as rnd
import runpy
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ratchet.api.sources import module_source
from shared.errors import SettingsError

WEIGHTS = {"a": 2.0, "b": 0.5}
HANDLE = object()


def weigh(letter: str) -> float:
    return WEIGHTS.get(letter, 1.0)


def countdown(n: int) -> list[int]:
    return [n, *countdown(n - 1)] if n else []


def score(instance: dict[str, Any], answer: str) -> float:
    """Rounded up; uses a helper, a constant, two modules and a class of the library."""
    rnd.seed(len(countdown(3)))
    return math.ceil(sum(weigh(letter) for letter, _ in Counter(answer).items()))


def made(text: str, folder: Path) -> dict[str, Any]:
    (folder / "made.py").write_text(text)
    return runpy.run_path(str(folder / "made.py"))


def test_a_function_works_elsewhere_with_all_that_it_uses(tmp_path: Path) -> None:
    text = module_source([score], "A verifier.")
    assert made(text, tmp_path)["score"]({}, "abz") == score({}, "abz") == 4
    assert "import random as rnd" in text
    assert "WEIGHTS = {'a': 2.0, 'b': 0.5}" in text
    assert "def test_" not in text
    assert module_source([score], "A verifier.") == text


def test_an_enclosing_constant_comes_along(tmp_path: Path) -> None:
    bonus = 5

    def add(answer: str) -> int:
        return len(answer) + bonus

    assert made(module_source([add], "x"), tmp_path)["add"]("abc") == 8


def uses_object() -> object:
    return HANDLE


def uses_nothing_known() -> object:
    return missing  # type: ignore[name-defined] # noqa: F821


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (uses_object, "HANDLE', a object"),
        (uses_nothing_known, "'missing', which is not defined"),
        (lambda answer: 1.0, "no function with a name|no source text"),
    ],
)
def test_what_is_no_source_text_is_named(function: Callable[..., Any], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        module_source([function], "x")
