"""The attacks by what a proposer may change: scaffolds that try to keep something from step to step, and
patches whose values break the process that checks them. Each is tried on plain Python as well, which it
succeeds against.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox_service.attacks import naive
from sandbox_service.attacks.corpus import TASK, Attack
from sandbox_service.attacks.finding import Finding
from shared.box.open import open_box
from shared.errors import BoxError, RatchetError
from shared.harness.bundle import PatchRefused, apply_patch, bundle_digest, load_harness
from shared.harness.steps import ScaffoldFailed, ScaffoldPool
from shared.messages.proposals import Edit, Patch
from shared.messages.records import JsonObject
from shared.store.store import read_folder
from shared.tasks.task import AttemptSection

STEPS = 2
PLAINLY = f"""
import runpy, sys
step = runpy.run_path(sys.argv[1])["step"]
print([step({{"place": sys.argv[2]}}, [], {{}}, {{}})["answer"]["content"] for _ in range({STEPS})][-1])
"""
KNOB = "temperature"


def attack_scaffolds(chosen: Sequence[Attack], folder: Path) -> list[Finding]:
    if not chosen:
        return []
    with ScaffoldPool(open_box()) as pool:
        return [_attack_scaffold(attack, pool, folder / "scaffolds" / attack.name) for attack in chosen]


def _attack_scaffold(attack: Attack, pool: ScaffoldPool, folder: Path) -> Finding:
    """Two steps of each: the second one's answer shows whether state was kept. A box that seems broken costs
    it nothing."""
    folder.mkdir(parents=True)
    (folder / "scaffold.py").write_text(attack.path.read_text())
    done = naive.run_program([sys.executable, "-c", PLAINLY, str(attack.path), str(folder)], folder, {})
    plain = done is not None and done.stdout.startswith(b"escaped")
    payload: JsonObject = {"instance": {"place": "/tmp"}, "history": [], "knobs": {}, "context": {"seed": 1}}
    boxed, saw, lost = "", "it kept nothing", False
    try:
        for _ in range(STEPS):
            boxed = pool.step(attack.name, folder, payload, AttemptSection())["answer"]["content"]
    except (ScaffoldFailed, BoxError) as error:
        saw, lost = error.message, isinstance(error, BoxError)
    return Finding.of(attack, plain, boxed != "escaped" and not lost, saw)


def attack_patches(chosen: Sequence[Attack]) -> list[Finding]:
    files = read_folder(TASK / "harness")
    knob = load_harness(files).knobs[KNOB]
    found = []
    for attack in chosen:
        new = runpy.run_path(str(attack.path))["NEW"]
        try:
            fooled = not isinstance((knob.low or 0.0) <= float(new) <= (knob.high or 0.0), bool)
        except Exception:  # which ends a run that does not expect it
            fooled = True
        refused, saw = _refused(files, new)
        found.append(Finding.of(attack, fooled, refused, saw))
    return found


def _refused(files: dict[str, bytes], new: object) -> tuple[bool, str]:
    edit = Edit(kind="set_knob", path=KNOB, new=new)
    try:
        apply_patch(files, Patch(base=bundle_digest(files), edits=(edit,), reason=""))
    except PatchRefused as refusal:
        return True, refusal.message
    except (RatchetError, ArithmeticError, ValueError) as error:
        return False, f"{type(error).__name__}: {error}"
    return False, "it was applied"
