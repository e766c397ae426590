"""`ratchet init --from-kernelbot DIR`: a task skeleton from a folder with a task.yml.

Shapes, ranking and description come over; inputs, reference and kernels are Python of another harness and are
left to be ported. Booleans come over as booleans: a harness that keeps "False" as text takes it for true.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from shared.errors import SettingsError
from shared.messages.records import JsonObject

TEMPLATE = Path(__file__).parent / "kernelbot_template"
WORDS = {"true": True, "false": False}
RANKINGS = ("last", "mean", "geom")
NAME = re.compile(r"[a-z][a-z0-9_-]*")
SEED = "seed"  # public seeds are not taken over: every instance is drawn with its own


def create(source: Path, folder: Path | None = None) -> list[str]:
    """Make the skeleton; returns lines that say what next. Raises SettingsError naming what is wrong."""
    said = read(source)
    folder = folder or Path(re.sub(r"[^a-z0-9_-]+", "_", source.resolve().name.lower()))
    if folder.exists():
        raise SettingsError(f"{folder} exists", "a task is never overwritten: choose another folder")
    if not NAME.fullmatch(folder.name):
        raise SettingsError(f"not a name for a task: {folder.name!r}", "lower-case letters, digits, - and _")
    splits = into_splits(said["tests"], said["benchmarks"], said["ranking_by"])
    shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    manifest, prompt = folder / "task.toml", folder / "harness" / "prompts" / "system.md"
    manifest.write_text(manifest.read_text().replace("NAME", folder.name))
    prompt.write_text(prompt.read_text().replace("{description}", said["description"].strip()))
    (folder / "specs.json").write_text(json.dumps(splits, indent=1) + "\n")
    counts = ", ".join(f"{split} {len(specs)}" for split, specs in splits.items())
    return [
        f"{folder}: shapes by split: {counts}; ranked by {said['ranking_by']}",
        f"1. port inputs, reference and check of {source} into {folder}/verifier.py",
        f"2. write a plain {folder}/baseline.cu, and its launches into launch(); see tasks/trimul_cuda",
        f"3. ratchet validate {folder}",
    ]


def read(source: Path) -> JsonObject:
    """tests, benchmarks, ranking_by and description of DIR/task.yml, booleans as booleans."""
    path = source / "task.yml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"can't read {path}: {error}", "give a folder with a task.yml") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not YAML: {error}") from None
    if not isinstance(found, dict):
        raise SettingsError(f"{path} holds no table", "it needs tests, benchmarks and ranking_by")
    ranking = found.get("ranking_by", "last")
    if ranking not in RANKINGS:
        raise SettingsError(f"{path}: ranking_by {ranking!r}", f"known: {', '.join(RANKINGS)}")
    tests, benchmarks = (_specs(path, key, found.get(key)) for key in ("tests", "benchmarks"))
    _settle_booleans(path, [*tests, *benchmarks])
    return {
        "tests": tests,
        "benchmarks": benchmarks,
        "ranking_by": ranking,
        "description": str(found.get("description", "")),
    }


def _specs(path: Path, key: str, value: Any) -> list[JsonObject]:
    """A list of specs; each a table, or a text `size: 32; nomask: False`."""
    if not isinstance(value, list) or not value:
        raise SettingsError(f"{path}: {key} is no list of specs", f"{key}: [{{size: 32, seed: 1}}, ...]")
    specs = [_from_text(item) if isinstance(item, str) else item for item in value]
    for number, spec in enumerate(specs, start=1):
        plain = isinstance(spec, dict) and all(isinstance(name, str) for name in spec)
        if not plain or not all(isinstance(field, bool | int | float | str) for field in spec.values()):
            raise SettingsError(f"{path}: {key}: spec {number} is no flat table: {spec!r}")
    return specs


def _from_text(text: str) -> Any:
    pairs = [part.partition(":") for part in re.split(r"[;\n]", text) if part.strip()]
    if not all(colon and name.strip() for name, colon, _ in pairs):
        return text
    return {name.strip(): yaml.safe_load(value) for name, _, value in pairs}


def _settle_booleans(path: Path, specs: list[JsonObject]) -> None:
    """A field that is a boolean anywhere, also as the word, is one everywhere: 0 and 1 then mean it, too."""
    names = {name for spec in specs for name, value in spec.items() if _as_word(value) is not None}
    for spec in specs:
        for name in names & set(spec):
            word = _as_word(spec[name])
            if word is None and spec[name] not in (0, 1):
                raise SettingsError(f"{path}: {name} is true or false elsewhere, but {spec[name]!r} here")
            spec[name] = bool(spec[name]) if word is None else word


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
