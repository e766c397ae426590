"""Whether right answers of train instances can be had: the config asks for some, the task's verifier returns
them, and the live harness's scaffold can put them into its prompts. Both functions are found by reading
source; none is run.
"""

from __future__ import annotations

from feedback_service.course.situation import Situation
from shared.harness.bundle import SCAFFOLD
from shared.harness.scaffold_check import has_function
from shared.store.store import get_bundle


def offers_answers(now: Situation, harness: str) -> bool:
    verifier = (now.task.folder / "verifier.py").read_bytes()
    scaffold = get_bundle(now.store, harness)[SCAFFOLD].decode()
    asked_for = now.config.training.demonstrations > 0
    return asked_for and has_function(verifier, "answers") and has_function(scaffold, "demonstrate")
