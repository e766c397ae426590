"""A harness bundle (harness.toml, prompts/*.md, scaffold.py, exemplars.json) and how a patch changes one.
Nothing here runs a scaffold; nothing outside of these files can be named.

    [knobs.tile]            # harness.toml: a table a knob
    kind = "choice"         # or "int", "float" with low and high
    choices = [8, 16, 32]
    value = 16
    doc = "rows of a tile"

    set_knob       path = the knob's name        new = its value, inside the declared bounds
    replace_text   path = prompts/X.md, or scaffold.py       old = a passage that occurs once, new = another
    add_exemplar   path = exemplars.json         new = a JSON value, put last
    drop_exemplar  path = exemplars.json         new = the index of the one to drop, as things stand then
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import RatchetError
from shared.harness.scaffold_check import scaffold_fault
from shared.messages.proposals import Edit, Patch
from shared.messages.records import KnobValue as KnobValue
from shared.messages.records import digest_of

KNOBS, SCAFFOLD, EXEMPLARS = "harness.toml", "scaffold.py", "exemplars.json"
PROMPT = re.compile(r"prompts/([A-Za-z0-9_-]{1,64})\.md")
MAX_FILE_BYTES = 64 << 10
MAX_FILES = 64
MAX_EXEMPLARS = 8
MAX_EXEMPLAR_BYTES = 8 << 10
MAX_EDITS = 16
SHOWN_CHARS = 100  # of a value that is refused


class HarnessError(RatchetError):
    """A bundle is no harness: a file is missing, too large, or not what its name promises."""

    exit_code = 2


class PatchRefused(RatchetError):
    """A patch can't be applied, or what comes out is no harness. Data: its arm ends with the reason."""


class Knob(BaseModel):
    """A declared, bounded setting."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    kind: Literal["choice", "int", "float"]
    value: KnobValue
    choices: list[KnobValue] | None = None
    low: float | None = None
    high: float | None = None
    doc: str = ""
    needs: str = ""  # a knob without which this one does nothing, while that is 0, false or empty
    searched: bool = True  # false: it depends on the model, so that users and advisors set it, and no search

    def fault(self, value: object) -> str:
        """Why this knob can't have that value; empty where it can."""
        if self.kind == "choice":
            choices = self.choices or []
            if any(type(value) is type(choice) and value == choice for choice in choices):
                return ""
            return f"{_shown(value)} is none of {choices}"
        fits = type(value) is int or (self.kind == "float" and type(value) is float)
        if (
            not fits
            or not isinstance(value, int | float)
            or (type(value) is float and not math.isfinite(value))
        ):
            return f"{_shown(value)} is no {self.kind}"
        if self.low is None or self.high is None:
            return "the knob has no low and high"
        bounds = f"[{self.low:g}, {self.high:g}]"
        return "" if self.low <= value <= self.high else f"{_shown(value)} is not in {bounds}"


def _shown(value: object) -> str:
    try:
        return repr(value)[:SHOWN_CHARS]
    except ValueError:  # Python writes no integer of more than some thousand digits
        return "an integer of thousands of digits"


@dataclass(frozen=True)
class Harness:
    """A checked bundle. `prompts` goes by name without folder and ending."""

    knobs: dict[str, Knob]
    prompts: dict[str, str]
    exemplars: list[Any]
    scaffold: str

    @property
    def values(self) -> dict[str, KnobValue]:
        return {name: knob.value for name, knob in self.knobs.items()}


def bundle_digest(files: Mapping[str, bytes]) -> str:
    """The digest under which store.put_bundle stores these files."""
    listing = {
        name: {"sha256": sha256(data).hexdigest(), "size_bytes": len(data)} for name, data in files.items()
    }
    return digest_of({"bundle": 1, "files": listing})


def load_harness(files: Mapping[str, bytes]) -> Harness:
    """The harness in these files. Raises HarnessError that names the file and the reason."""
    for required in (KNOBS, SCAFFOLD):
        if required not in files:
            raise HarnessError(f"a harness needs {required}")
    if len(files) > MAX_FILES:
        raise HarnessError(f"{len(files)} files; a harness has at most {MAX_FILES}")
    texts = {name: _text(name, data) for name, data in files.items()}
    if fault := scaffold_fault(texts[SCAFFOLD]):
        raise HarnessError(f"{SCAFFOLD}: {fault}")
    return Harness(
        knobs=_knobs(texts[KNOBS]),
        prompts={match[1]: text for name, text in texts.items() if (match := PROMPT.fullmatch(name))},
        exemplars=_exemplars(texts.get(EXEMPLARS, "[]")),
        scaffold=texts[SCAFFOLD],
    )


def _text(name: str, data: bytes) -> str:
    if name not in (KNOBS, SCAFFOLD, EXEMPLARS) and not PROMPT.fullmatch(name):
        raise HarnessError(f"{name!r} is no file of a harness")
    if len(data) > MAX_FILE_BYTES:
        raise HarnessError(f"{name} has {len(data)} bytes; at most {MAX_FILE_BYTES}")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise HarnessError(f"{name} is not UTF-8") from None


def _knob(name: str, given: object) -> Knob:
    try:
        return Knob.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][:1])
        raise HarnessError(f"{KNOBS}: knob {name} is malformed: {where}: {first['msg']}") from None


def _knobs(text: str) -> dict[str, Knob]:
    try:
        table = tomllib.loads(text)
        knobs = {name: _knob(name, knob) for name, knob in table.get("knobs", {}).items()}
    except tomllib.TOMLDecodeError as error:
        raise HarnessError(f"{KNOBS} is not TOML: {error}") from None
    except AttributeError:
        raise HarnessError(f"{KNOBS}: knobs are tables, [knobs.NAME] each") from None
    if set(table) - {"knobs"}:
        raise HarnessError(f"{KNOBS} holds only [knobs.NAME] tables, not {sorted(set(table) - {'knobs'})}")
    for name, knob in knobs.items():
        if fault := knob.fault(knob.value):
            raise HarnessError(f"{KNOBS}: knob {name}: {fault}")
        if knob.needs and knob.needs not in knobs:
            raise HarnessError(f"{KNOBS}: knob {name} needs {knob.needs!r}, which is no knob")
    return knobs


def _exemplars(text: str) -> list[Any]:
    try:
        exemplars: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HarnessError(f"{EXEMPLARS} is not JSON: {error}") from None
    if not isinstance(exemplars, list) or len(exemplars) > MAX_EXEMPLARS:
        raise HarnessError(f"{EXEMPLARS} must be a list of at most {MAX_EXEMPLARS}")
    for exemplar in exemplars:
        if len(json.dumps(exemplar)) > MAX_EXEMPLAR_BYTES:
            raise HarnessError(f"an exemplar is longer than {MAX_EXEMPLAR_BYTES} bytes")
    return exemplars


def apply_patch(files: Mapping[str, bytes], patch: Patch) -> dict[str, bytes]:
    """The patched bundle; `files` is left as it is. Raises PatchRefused naming the edit and the reason."""
    base = bundle_digest(files)
    if patch.base != base:
        raise PatchRefused(f"made for harness {patch.base[:12]}, but the base is {base[:12]}")
    if not 1 <= len(patch.edits) <= MAX_EDITS:
        raise PatchRefused(f"{len(patch.edits)} edits; a patch has 1 to {MAX_EDITS}")
    changed = dict(files)
    for number, edit in enumerate(patch.edits, start=1):
        try:
            name, data = _EDITS[edit.kind](changed, edit)
            changed[name] = data
            load_harness(changed)
        except (HarnessError, PatchRefused) as error:
            raise PatchRefused(f"edit {number} ({edit.kind} {edit.path}): {error.message}") from None
        except (ValueError, ArithmeticError, RecursionError):  # NaN, half a character, an endless number, ...
            raise PatchRefused(f"edit {number} ({edit.kind} {edit.path}): not plain JSON and text") from None
    if bundle_digest(changed) == base:
        raise PatchRefused("the patch changes nothing")
    return changed


def with_knobs(files: Mapping[str, bytes], values: Mapping[str, KnobValue]) -> dict[str, bytes]:
    """The bundle with these knobs set, as many as they are. Raises PatchRefused naming the knob."""
    changed = dict(files)
    for name, value in values.items():
        edit = Edit(kind="set_knob", path=name, new=value)
        try:
            changed[KNOBS] = _set_knob(changed, edit)[1]
        except PatchRefused as error:
            raise PatchRefused(f"knob {name}: {error.message}") from None
    return changed


def _set_knob(files: Mapping[str, bytes], edit: Edit) -> tuple[str, bytes]:
    knob = load_harness(files).knobs.get(edit.path)
    if knob is None:
        raise PatchRefused("no such knob")
    if fault := knob.fault(edit.new):
        raise PatchRefused(fault)
    text = files[KNOBS].decode()
    wanted = tomllib.loads(text)
    wanted["knobs"][edit.path]["value"] = edit.new
    scalar = json.dumps(edit.new, ensure_ascii=False)  # JSON's scalars are TOML's, too
    result = _with_value(text, edit.path, scalar)
    try:
        if tomllib.loads(result) == wanted:
            return KNOBS, result.encode()
    except tomllib.TOMLDecodeError:
        pass
    raise PatchRefused(
        f"{KNOBS} must hold a table [knobs.{edit.path}] with `value = ...` on a line of its own"
    )


def _with_value(text: str, name: str, value: str) -> str:
    """harness.toml with the `value` line of one table replaced; comments and order stay."""
    lines = text.splitlines(keepends=True)
    inside = False
    for number, line in enumerate(lines):
        if line.startswith("["):
            inside = line.split("#")[0].strip().replace('"', "") == f"[knobs.{name}]"
        elif inside and re.match(r"value\s*=", line):
            lines[number] = f"value = {value}\n"
    return "".join(lines)


def _replace_text(files: Mapping[str, bytes], edit: Edit) -> tuple[str, bytes]:
    if edit.path != SCAFFOLD and not PROMPT.fullmatch(edit.path):
        raise PatchRefused("only prompts/*.md and scaffold.py can be edited")
    if edit.path not in files:
        raise PatchRefused("no such file")
    if not edit.old or not isinstance(edit.new, str):
        raise PatchRefused("needs the old passage and the new one")
    text = files[edit.path].decode()
    found = text.count(edit.old)
    if found != 1:
        raise PatchRefused(f"the old passage occurs {found} times; it must occur once")
    return edit.path, text.replace(edit.old, edit.new).encode()


def _add_exemplar(files: Mapping[str, bytes], edit: Edit) -> tuple[str, bytes]:
    if edit.new is None:
        raise PatchRefused("needs an exemplar")
    return _with_exemplars(edit, [*load_harness(files).exemplars, edit.new])


def _drop_exemplar(files: Mapping[str, bytes], edit: Edit) -> tuple[str, bytes]:
    exemplars = load_harness(files).exemplars
    if type(edit.new) is not int or not 0 <= edit.new < len(exemplars):
        raise PatchRefused(f"no exemplar {edit.new!r}; there are {len(exemplars)}")
    return _with_exemplars(edit, exemplars[: edit.new] + exemplars[edit.new + 1 :])


def _with_exemplars(edit: Edit, exemplars: list[Any]) -> tuple[str, bytes]:
    if edit.path != EXEMPLARS:
        raise PatchRefused(f"exemplars are in {EXEMPLARS}")
    return EXEMPLARS, (json.dumps(exemplars, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


_EDITS = {
    "set_knob": _set_knob,
    "replace_text": _replace_text,
    "add_exemplar": _add_exemplar,
    "drop_exemplar": _drop_exemplar,
}
