"""When a weight update may imitate right answers: the task's verifier returns those of train instances, the
live harness's scaffold can put them into its prompts, and no config or advice names another algorithm. Both
functions are found by reading source; none is run here.
"""

from __future__ import annotations

from feedback_service.course.situation import Situation
from feedback_service.propose.advisor.asking import Advice
from shared.decisions import seeds
from shared.harness.bundle import SCAFFOLD
from shared.harness.scaffold_check import has_function
from shared.ledger.history import Generation
from shared.messages.events import DemonstrationsRequested, Join
from shared.store.store import get_bundle

SUPERVISED = "supervised"


def request(
    now: Situation, generation: Generation, join: Join, advice: Advice
) -> DemonstrationsRequested | None:
    """The question to the sandbox, or None where right answers can't be had or are not wanted."""
    assert generation.release is not None
    training, harness = now.config.training, generation.release.harness
    if training.demonstrations == 0 or training.algorithm not in ("auto", SUPERVISED):
        return None
    if advice.learning and advice.learning.algorithm not in (None, SUPERVISED):
        return None
    if not offers_answers(now, harness):
        return None
    return DemonstrationsRequested(
        run_id=now.run_id,
        generation=generation.number,
        join=join,
        config=now.history.config,
        harness=harness,
        count=training.demonstrations,
        seed=seeds.answers_seed(now.config, generation.number),
    )


def offers_answers(now: Situation, harness: str) -> bool:
    """Whether right answers of train instances can be had at all."""
    verifier = (now.task.folder / "verifier.py").read_text(encoding="utf-8")
    scaffold = get_bundle(now.store, harness)[SCAFFOLD].decode()
    asked_for = now.config.training.demonstrations > 0
    return asked_for and has_function(verifier, "answers") and has_function(scaffold, "demonstrate")
