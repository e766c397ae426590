"""The Python programs of the corpus: all of them in one block of the real evaluator, and each on the naive
harness, which believes whatever naive_judge.py prints.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox_service.attacks import naive, naive_judge
from sandbox_service.attacks.corpus import CONTROL, FOLDER, PROGRAMS, Attack
from sandbox_service.attacks.finding import Finding, evaluate, seen
from shared.messages.records import UNSCORED, Evaluation, canonical_json

TASK = FOLDER / "smoothing"
INSTANCE = {"id": "hidden", "n": 640}
PERFECT = 0.995  # a moving average gets about 0.95: more than this is not earned here
SEED = "17"


def attack_programs(chosen: Sequence[Attack], folder: Path) -> list[Finding]:
    """One Finding a program, and one for the honest control, which must be rewarded."""
    paths = {CONTROL: PROGRAMS / f"{CONTROL}.py"} | {attack.name: attack.path for attack in chosen}
    sources = {name: path.read_text() for name, path in paths.items()}
    real = evaluate(TASK, INSTANCE, sources, folder / "programs")
    findings = [
        Finding(
            name=f"{CONTROL}_program",
            kind="control",
            tries="an honest Python program, which must be rewarded",
            naive_succeeded=(_naive_score(paths[CONTROL], folder) or 0.0) > 0,
            contained=real[CONTROL].outcome == "ok" and real[CONTROL].score > 0,
            saw=seen(real[CONTROL]),
        )
    ]
    for attack in chosen:
        found = real[attack.name]
        naive_score = _naive_score(attack.path, folder)
        if attack.gain == "lost":
            fooled, contained = naive_score is None, _counts_as_failed(found)
        else:
            fooled = naive_score is not None and naive_score > PERFECT
            contained = not (found.outcome == "ok" and found.score > PERFECT)
        findings.append(Finding.of(attack, fooled, contained, seen(found)))
    return findings


def _counts_as_failed(found: Evaluation) -> bool:
    """Whether it has the lowest score under a name, in a form that can be stored."""
    try:
        canonical_json(found.model_dump(mode="json"))
    except ValueError:  # it holds what is no text
        return False
    return found.outcome not in UNSCORED | {"ok"} and found.score == 0.0


def _naive_score(path: Path, folder: Path) -> float | None:
    """The score on the first JSON line; None where there is none: the harness broke, too."""
    place = folder / f"{path.stem}.naive"
    place.mkdir(parents=True, exist_ok=True)
    copy = place / path.name
    copy.write_text(path.read_text(encoding="utf-8"))
    done = naive.run_program(
        [sys.executable, naive_judge.__file__, str(copy)], place, {naive_judge.SEED: SEED}
    )
    lines = done.stdout.decode(errors="replace").splitlines() if done else []
    return next((float(json.loads(line)["score"]) for line in lines if line.startswith("{")), None)
