"""A run that had failed continues with what had failed."""

from __future__ import annotations

from feedback_service.course.course import open_test
from feedback_service.course.situation import Situation, open_on
from shared.messages.events import Message, RolloutsOpened, RunFinished


def continue_failed(now: Situation) -> list[Message]:
    """What is opened anew where no job could be done again: the train rollouts that had no answer, or the
    sealed test that was lost."""
    last = now.history.last_opened
    if last is not None and last.purpose == "test":
        return open_test(now)
    if last is not None and last.purpose == "train":
        return [_open_train_again(now, last)]
    why = "there is nothing that could be tried again: start another run"
    return [RunFinished(run_id=now.run_id, state="failed", why=why)]


def _open_train_again(now: Situation, last: RolloutsOpened) -> Message:
    generation = now.history.all[last.generation]
    releases = {contender.arm: contender.release for contender in last.releases}
    instances = now.instances(generation.rollouts[("train", last.round)])
    return open_on(now, last.generation, "train", releases, instances, last.seeds, last.round + 1)
