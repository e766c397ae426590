"""`ratchet init --from-kernelbot DIR`: a task skeleton from a folder with a task.yml.

Shapes, ranking and description come over; inputs, reference and kernels are Python of another harness and are
left to be ported. Booleans come over as booleans: a harness that keeps "False" as text takes it for true.
"""

from __future__ import annotations

import copy
import json
import math
import re
from pathlib import Path
from typing import Any

import yaml

from ratchet.tasks import yaml_file
from ratchet.tasks.new_task import NAME, replace_in, whole_folder
from shared.errors import SettingsError
from shared.messages.records import JsonObject

TEMPLATE = Path(__file__).parent / "kernelbot_template"
WORDS = {"true": True, "false": False}
KEYS = ("tests", "benchmarks", "ranking_by", "description")
RANKINGS = ("last", "mean", "geom")
NUMBER = re.compile(r"[+-]?\d{1,300}(\.\d*)?([eE][+-]?\d{1,4})?", re.ASCII)
SURROGATE = re.compile("[\ud800-\udfff]")
MOST_VALUES = 10_000  # of a spec
SEED = "seed"  # public seeds are not taken over: every instance is drawn with its own


def create(source: Path, folder: Path | None = None) -> list[str]:
    """Make the skeleton; returns lines that say what next. Raises SettingsError naming what is wrong."""
    task = read(source)
    folder = folder or Path(re.sub(r"[^a-z0-9_-]+", "_", source.resolve().name.lower()))
    if folder.exists():
        raise SettingsError(f"{folder} exists", "a task is never overwritten: choose another folder")
    if not NAME.fullmatch(folder.name):
        raise SettingsError(f"not a name for a task: {folder.name!r}", "lower-case letters, digits, - and _")
    splits = into_splits(task["tests"], task["benchmarks"], task["ranking_by"])
    with whole_folder(folder, TEMPLATE) as made:
        replace_in(made / "task.toml", "NAME", folder.name)
        replace_in(made / "harness" / "prompts" / "system.md", "{description}", task["description"].strip())
        (made / "specs.json").write_text(json.dumps(splits, indent=1) + "\n", encoding="utf-8")
    counts = ", ".join(f"{split} {len(specs)}" for split, specs in splits.items())
    return [
        f"{folder}: shapes by split: {counts}; ranked by {task['ranking_by']}",
        f"1. port inputs, reference and check of {source} into {folder}/verifier.py",
        f"2. write a plain {folder}/baseline.cu, and its launches into launch(); see tasks/trimul_cuda",
        f"3. ratchet validate {folder}",
    ]


def read(source: Path) -> JsonObject:
    """tests, benchmarks, ranking_by and description of DIR/task.yml, booleans as booleans."""
    path = source / "task.yml"
    try:
        found = yaml_file.load(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"can't read {path}: {error}", "give a folder with a task.yml") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise SettingsError(
            f"{path} is not YAML: {problem}", "it is read as YAML 1.1, with !include"
        ) from None
    if not isinstance(found, dict):
        raise SettingsError(f"{path} holds no table", "it needs tests, benchmarks and ranking_by")
    for key in KEYS:
        if isinstance(missing := found.get(key), yaml_file.MissingFile):
            raise SettingsError(f"{path}: {key}: there is no file {missing.name} to include")
    ranking = found.get("ranking_by", "last")
    if ranking not in RANKINGS:
        raise SettingsError(f"{path}: ranking_by {ranking!r}", f"known: {', '.join(RANKINGS)}")
    tests, benchmarks = (_specs(path, key, found.get(key)) for key in ("tests", "benchmarks"))
    _settle_numbers([*tests, *benchmarks])
    _settle_booleans(path, [*tests, *benchmarks])
    return {
        "tests": tests,
        "benchmarks": benchmarks,
        "ranking_by": ranking,
        "description": SURROGATE.sub("\ufffd", str(found.get("description", ""))),
    }


def _specs(path: Path, key: str, value: Any) -> list[JsonObject]:
    """A list of specs; each a table, or a text `size: 32; nomask: False`."""
    if not isinstance(value, list) or not value:
        raise SettingsError(f"{path}: {key} is no list of specs", f"{key}: [{{size: 32, seed: 1}}, ...]")
    specs = [_from_text(item) if isinstance(item, str) else item for item in value]
    for number, spec in enumerate(specs, start=1):
        if not isinstance(spec, dict) or not all(isinstance(name, str) for name in spec):
            raise SettingsError(f"{path}: {key}: spec {number} is no table of arguments: {spec!r}")
        if not _is_small(spec, MOST_VALUES):
            raise SettingsError(
                f"{path}: {key}: spec {number} holds itself, or more than {MOST_VALUES} values"
            )
        for name, value in spec.items():
            if not _is_json(value):
                raise SettingsError(
                    f"{path}: {key}: spec {number}: {name} can't be {value!r:.60}",
                    "an argument is a finite number, a text, true, false, null, or lists and tables of these",
                )
    return copy.deepcopy(specs)  # with YAML's anchors several specs may be one


def _is_small(value: Any, most: int) -> bool:
    """Whether it has at most so many values, nested ones counted each time: anchors can make few lines into
    millions, or into a circle."""
    todo = [value]
    for _ in range(most):
        if not todo:
            return True
        found = todo.pop()
        todo += found if isinstance(found, list) else found.values() if isinstance(found, dict) else ()
    return not todo


def _is_json(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_json(item) for name, item in value.items())
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return not SURROGATE.search(value)
    return value is None or isinstance(value, bool | int)


def _from_text(text: str) -> Any:
    pairs = [part.partition(":") for part in re.split(r"[;\n]", text) if part.strip()]
    if not all(colon and name.strip() for name, colon, _ in pairs):
        return text
    return {name.strip(): yaml.safe_load(value) for name, _, value in pairs}


def _settle_numbers(specs: list[JsonObject]) -> None:
    """YAML 1.1 reads 1e-5, and what is quoted, as text: where all that is not null is a number otherwise, it
    is one, too. Else one shape would be two."""
    for name in {name for spec in specs for name in spec}:
        having = [spec for spec in specs if spec.get(name) is not None]
        numbers = [_number_of(spec[name]) for spec in having]
        if any(number is None for number in numbers):
            continue
        if any(isinstance(spec[name], int | float) or "e" in spec[name].lower() for spec in having):
            for spec, number in zip(having, numbers, strict=True):
                spec[name] = number


def _number_of(value: Any) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        text = value.strip()
        if not NUMBER.fullmatch(text):
            return None
        if text.lstrip("+-").isdigit():
            return int(text)  # by float a long one would lose its last digits
        value = float(text)
        value = int(value) if value.is_integer() and "." not in text else value
    return value if math.isfinite(value) else None


def _settle_booleans(path: Path, specs: list[JsonObject]) -> None:
    """A field that is a boolean anywhere, also as the word, is one everywhere: 0 and 1 then mean it, too. One
    that is another text somewhere ("auto") is a text everywhere. null is what it is."""
    names = {name for spec in specs for name, value in spec.items() if _as_word(value) is not None}
    for name in names:
        having = [spec for spec in specs if spec.get(name) is not None]
        as_text = any(isinstance(spec[name], str) and _as_word(spec[name]) is None for spec in having)
        for spec in having:
            spec[name] = _text_of(spec[name]) if as_text else _boolean_of(path, name, spec[name])


def _text_of(value: Any) -> Any:
    """YAML reads true without quotes as a boolean."""
    return str(value).lower() if isinstance(value, bool) else value


def _boolean_of(path: Path, name: str, value: Any) -> bool:
    word = _as_word(value)
    if word is None and (isinstance(value, list | dict) or value not in (0, 1)):
        raise SettingsError(f"{path}: {name} is true or false elsewhere, but {value!r} here")
    return bool(value) if word is None else word


def _as_word(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return WORDS.get(value.strip().lower()) if isinstance(value, str) else None


def into_splits(
    tests: list[JsonObject], benchmarks: list[JsonObject], ranking_by: str
) -> dict[str, list[JsonObject]]:
    """Benchmarks are the sealed test split; other tests go to train and gate in turn."""
    ranked = _distinct(benchmarks)
    rest = [spec for spec in _distinct(tests) if spec not in ranked]
    if len(rest) < 2:
        raise SettingsError(
            f"{len(rest)} test shapes are no benchmark, too; train and gate need one each",
            "add tests of other shapes to task.yml",
        )
    if ranking_by == "last":
        ranked = _distinct(benchmarks[-1:])
    return {"train": rest[::2], "gate": rest[1::2], "test": ranked}


def _distinct(specs: list[JsonObject]) -> list[JsonObject]:
    """In order, without seeds, each once; True and 1 are not the same."""
    bare = [{name: value for name, value in spec.items() if name != SEED} for spec in specs]
    return list({json.dumps(spec, sort_keys=True): spec for spec in bare}.values())
