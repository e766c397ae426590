"""What is a harness and what is not, and which edits a patch may make."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ratchet.runs.request import resolve_config
from shared.errors import SettingsError
from shared.harness.bundle import (
    HarnessError,
    PatchRefused,
    apply_patch,
    bundle_digest,
    load_harness,
    with_knobs,
)
from shared.harness.scaffold_check import has_function
from shared.messages.proposals import Edit, Patch
from shared.store.store import LocalStore, put_bundle

TOML = """# the knobs
[knobs.tile]
kind = "choice"
choices = [
  8,
  16,
]
value = 16  # rows
doc = "rows of a tile"

[knobs.count]
kind = "int"
low = 1
high = 8
value = 4

[knobs.heat]
kind = "float"
low = 0.0
high = 1.5
value = 1.0
"""
SCAFFOLD = '''"""A scaffold."""

import json

LIMIT = 3


def step(instance, history, knobs, context):
    return {"answer": {"content": json.dumps(LIMIT)}}
'''
FILES = {
    "harness.toml": TOML.encode(),
    "scaffold.py": SCAFFOLD.encode(),
    "prompts/system.md": b"Be brief. Be right.\n",
    "exemplars.json": b'[{"reply": "a"}, {"reply": "b"}]',
}


def patched(*edits: Edit, files: dict[str, bytes] = FILES) -> dict[str, bytes]:
    return apply_patch(files, Patch(base=bundle_digest(files), edits=edits, reason="to see"))


def test_a_harness_loads_with_its_knobs_prompts_and_exemplars() -> None:
    harness = load_harness(FILES)

    assert harness.values == {"tile": 16, "count": 4, "heat": 1.0}
    assert harness.prompts == {"system": "Be brief. Be right.\n"}
    assert [exemplar["reply"] for exemplar in harness.exemplars] == ["a", "b"]


def test_a_bundles_digest_is_the_one_that_the_store_gives(tmp_path: Path) -> None:
    assert bundle_digest(FILES) == put_bundle(LocalStore(tmp_path), FILES)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("scaffold.py", b"def step(instance, history, knobs):\n    pass\n", "needs one function step"),
        ("scaffold.py", b"def step(:\n", "line 1: does not parse"),
        ("scaffold.py", b"def step(a, b, c, d):\n    import subprocess\n", "line 2.*'subprocess'"),
        ("scaffold.py", b"from . import other\ndef step(a, b, c, d): pass\n", "may not import"),
        ("scaffold.py", b"print(1)\ndef step(a, b, c, d): pass\n", "line 1: only imports"),
        ("scaffold.py", b"while True: pass\n", "line 1: only imports"),
        ("scaffold.py", b"\xff", "not UTF-8"),
        ("prompts/system.md", b"x" * 70_000, "70000 bytes"),
        ("prompts/../verifier.md", b"x", "no file of a harness"),
        ("verifier.py", b"x", "no file of a harness"),
        ("harness.toml", b"[limits]\nturns = 99\n", "only .knobs.NAME. tables"),
        ("harness.toml", b'[knobs.a]\nkind = "int"\nlow = 1\nhigh = 2\nvalue = 3\n', "not in .1, 2."),
        ("harness.toml", b"[knobs.a]\nkind = 7\n", "knob a is malformed: kind: Input should be 'choice'"),
        ("harness.toml", b"knobs = 7\n", "knobs are tables"),
        (
            "harness.toml",
            b"[knobs.a]\nkind = 'float'\nlow = 0\nhigh = inf\nvalue = 1.0\n",
            "knob a is malformed: high: Input should be a finite number",
        ),
        (
            "harness.toml",
            b"[knobs.a]\nkind = 'choice'\nchoices = [nan, 1]\nvalue = 1\n",
            "knob a is malformed: choices",
        ),
        ("harness.toml", b"[[", "not TOML"),
        ("exemplars.json", b"[1,2,3,4,5,6,7,8,9]", "at most 8"),
        ("exemplars.json", b"{", "not JSON"),
    ],
)
def test_what_is_no_harness_is_refused_with_the_reason(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(HarnessError, match=reason):
        load_harness({**FILES, name: data})


def test_a_knob_moves_and_nothing_else_in_its_file() -> None:
    changed = patched(Edit(kind="set_knob", path="tile", new=8), Edit(kind="set_knob", path="heat", new=0.25))

    expected = TOML.replace("value = 16  # rows", "value = 8").replace("value = 1.0", "value = 0.25")
    assert changed["harness.toml"].decode() == expected
    assert {name for name in FILES if changed[name] != FILES[name]} == {"harness.toml"}


def test_a_passage_of_a_prompt_and_of_the_scaffold_is_replaced() -> None:
    changed = patched(
        Edit(kind="replace_text", path="prompts/system.md", old="Be brief.", new="Be long."),
        Edit(kind="replace_text", path="scaffold.py", old="LIMIT = 3", new="LIMIT = 4"),
    )

    assert changed["prompts/system.md"] == b"Be long. Be right.\n"
    assert b"LIMIT = 4" in changed["scaffold.py"]


def test_exemplars_are_added_last_and_dropped_by_index() -> None:
    changed = patched(
        Edit(kind="drop_exemplar", path="exemplars.json", new=0),
        Edit(kind="add_exemplar", path="exemplars.json", new={"reply": "c"}),
    )

    assert json.loads(changed["exemplars.json"]) == [{"reply": "b"}, {"reply": "c"}]


def test_a_patch_leaves_the_base_as_it_is() -> None:
    before = dict(FILES)

    patched(Edit(kind="set_knob", path="count", new=5))

    assert before == FILES


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (Edit(kind="set_knob", path="tile", new=12), "none of"),
        (Edit(kind="set_knob", path="tile", new="16"), "none of"),
        (Edit(kind="set_knob", path="count", new=9), "not in"),
        (Edit(kind="set_knob", path="count", new=2.5), "no int"),
        (Edit(kind="set_knob", path="count", new=True), "no int"),
        (Edit(kind="set_knob", path="heat", new=float("nan")), "no float"),
        (Edit(kind="set_knob", path="heat", new=10**400), "1000000.* is not in"),
        (Edit(kind="set_knob", path="count", new=-(10**400)), "-1000000.* is not in"),
        (Edit(kind="set_knob", path="count", new=10**5000), "thousands of digits is not in"),
        (Edit(kind="drop_exemplar", path="exemplars.json", new=10**5000), "plain JSON"),
        (Edit(kind="set_knob", path="__class__", new=1), "no such knob"),
        (Edit(kind="replace_text", path="harness.toml", old="high = 8", new="high = 800"), "can be edited"),
        (Edit(kind="replace_text", path="../verifier.py", old="a", new="b"), "can be edited"),
        (Edit(kind="replace_text", path="prompts/none.md", old="a", new="b"), "no such file"),
        (Edit(kind="replace_text", path="prompts/system.md", old="Be ", new="x"), "occurs 2 times"),
        (Edit(kind="replace_text", path="prompts/system.md", old="absent", new="x"), "occurs 0 times"),
        (Edit(kind="replace_text", path="prompts/system.md", old="", new="x"), "needs the old passage"),
        (
            Edit(kind="replace_text", path="prompts/system.md", old="brief", new="\ud800"),
            "plain JSON and text",
        ),
        (Edit(kind="replace_text", path="prompts/system.md", old="brief", new="x" * 70_000), "at most 65536"),
        (Edit(kind="replace_text", path="scaffold.py", old="import json", new="import os"), "may not import"),
        (Edit(kind="replace_text", path="scaffold.py", old="LIMIT = 3", new="LIMIT ="), "does not parse"),
        (Edit(kind="add_exemplar", path="exemplars.json", new="x" * 9_000), "longer than"),
        (Edit(kind="add_exemplar", path="exemplars.json", new=float("nan")), "plain JSON"),
        (Edit(kind="add_exemplar", path="scaffold.py", new="x"), "exemplars are in"),
        (Edit(kind="drop_exemplar", path="exemplars.json", new=2), "there are 2"),
        (Edit(kind="drop_exemplar", path="exemplars.json", new=-1), "there are 2"),
    ],
)
def test_an_edit_beyond_its_bounds_is_refused_with_the_reason(edit: Edit, reason: str) -> None:
    with pytest.raises(PatchRefused, match=reason):
        patched(edit)


def refuse_stale() -> None:
    apply_patch(FILES, Patch(base="0" * 64, edits=(Edit(kind="set_knob", path="count", new=5),), reason=""))


def refuse_empty() -> None:
    patched()


def refuse_many() -> None:
    patched(*[Edit(kind="set_knob", path="count", new=5)] * 17)


def refuse_idle() -> None:
    patched(Edit(kind="set_knob", path="count", new=5), Edit(kind="set_knob", path="count", new=4))


@pytest.mark.parametrize(
    ("attempt", "reason"),
    [
        (refuse_stale, "made for harness 000000000000"),
        (refuse_empty, "0 edits"),
        (refuse_many, "17 edits"),
        (refuse_idle, "changes nothing"),
    ],
)
def test_a_patch_that_is_stale_empty_too_long_or_idle_is_refused(
    attempt: Callable[[], None], reason: str
) -> None:
    with pytest.raises(PatchRefused, match=reason):
        attempt()


def test_exemplars_have_a_cap() -> None:
    full = {**FILES, "exemplars.json": json.dumps(list(range(8))).encode()}

    with pytest.raises(PatchRefused, match="at most 8"):
        patched(Edit(kind="add_exemplar", path="exemplars.json", new=9), files=full)


def test_a_run_starts_with_the_knobs_of_its_config() -> None:
    changed = with_knobs(FILES, {"count": 8, "heat": 1.0})
    assert load_harness(changed).values == {"tile": 16, "count": 8, "heat": 1.0}
    assert FILES["harness.toml"] == TOML.encode()


def test_a_config_that_names_no_knob_or_leaves_its_bounds_is_refused_before_the_run_starts() -> None:
    with pytest.raises(PatchRefused, match="knob color: no such knob"):
        with_knobs(FILES, {"color": 3})
    with pytest.raises(SettingsError, match=r"knob temperature: 9\.0 is not in"):
        resolve_config("lawbench", None, ["harness.temperature=9.0"], None)


def test_a_scaffold_prepares_with_two_arguments_or_not_at_all() -> None:
    fitting = SCAFFOLD + "\n\ndef prepare(public, knobs):\n    return 1\n"
    assert load_harness(FILES | {"scaffold.py": fitting.encode()})
    with pytest.raises(HarnessError, match=r"prepare must be prepare\(public, knobs\)"):
        load_harness(FILES | {"scaffold.py": fitting.replace("public, knobs", "folder").encode()})


def test_a_knob_may_need_another_one_that_there_is() -> None:
    votes = '[knobs.votes]\nkind = "choice"\nchoices = [1, 3]\nvalue = 1\nneeds = "temperature"\n'
    files = {"harness.toml": votes.encode(), "scaffold.py": b"def step(i, h, k, c):\n    return {}\n"}
    with pytest.raises(HarnessError, match="votes needs 'temperature', which is no knob"):
        load_harness(files)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_a_function_of_a_verifier_is_found_whatever_its_encoding(encoding: str) -> None:
    first = "# -*- coding: latin-1 -*-\n" if encoding == "latin-1" else ""
    source = f"{first}NAME = 'é'\n\n\ndef answers(instance):\n    return []\n".encode(encoding)
    assert has_function(source, "answers")
    assert not has_function(source, "draw")


@pytest.mark.parametrize("source", [b"\x00", b"# coding: none\nx = 1", b"NAME = '\xe9'", b"def answers(:"])
def test_what_is_no_source_defines_nothing(source: bytes) -> None:
    assert not has_function(source, "answers")
