"""When a weight update may imitate right answers: the task's verifier returns those of train instances, the
live harness's scaffold can put them into its prompts, and no config or advice names another algorithm. Both
functions are found by reading source; none is run here.
"""

from __future__ import annotations

from feedback_service.course.situation import Situation
from feedback_service.propose.advisor.asking import Advice
from feedback_service.propose.advisor.learning import SUPERVISED
from feedback_service.propose.right_answers import offers_answers
from shared.decisions import seeds
from shared.decisions.posted import posted_instances
from shared.ledger.history.state import Generation
from shared.messages.events import DemonstrationsRequested, Join
from shared.store.store import put_json


def request(
    now: Situation, generation: Generation, join: Join, advice: Advice, patch: str
) -> DemonstrationsRequested | None:
    """The question to the sandbox, or None where right answers can't be had or are not wanted. `patch`: the
    digest of the one proposed beside, so that the adapter knows both harnesses' prompts; empty: none."""
    assert generation.release is not None
    training, harness = now.config.training, generation.release.harness
    if training.algorithm not in ("auto", SUPERVISED):
        return None
    if advice.learning and advice.learning.algorithm not in (None, SUPERVISED):
        return None
    if not offers_answers(now, harness):
        return None
    posted = posted_instances(now.history, now.store)
    return DemonstrationsRequested(
        run_id=now.run_id,
        generation=generation.number,
        join=join,
        config=now.history.config,
        harness=harness,
        count=training.demonstrations,
        seed=seeds.answers_seed(now.config, generation.number),
        posted=put_json(now.store, posted) if posted else "",
        patch=patch,
    )
