"""The course of a run between two decisions: the next generation, or the sealed test, or the end."""

from __future__ import annotations

from typing import Literal

from feedback_service.course.budget import over_budget
from feedback_service.course.lever_history import next_levers
from feedback_service.course.sampling_policy import sampling_release
from feedback_service.course.situation import Situation, open_rollouts
from shared.decisions.arms import Paired, pair
from shared.decisions.convergence import convergence
from shared.decisions.intervals import t_interval
from shared.decisions.plan import Step, confirm_step, design_step, screen_step, test_step, train_step
from shared.ledger.history.state import Rollout
from shared.messages.events import Message, RunFinished
from shared.messages.evidence import Interval
from shared.messages.records import Release
from shared.store.store import put_json

End = Literal["done", "stopped", "budget"]


def go_on(now: Situation) -> list[Message]:
    """After a decision (or at the start): open the next generation's train rollouts, or the sealed test."""
    if why_end(now) is None and now.history.release is not None:
        number = len(now.history.generations) + 1
        chosen = next_levers(now, number)
        releases = {"train": sampling_release(now, chosen.levers)}
        opened = open_rollouts(now, number, "train", releases, now.config.rollouts.instances)
        changes = {"levers": chosen.levers, "why_levers": chosen.why}
        return [event.model_copy(update=changes) for event in opened] or [
            _finished(now, "done", f"the train split of {now.task.name} has no instance")
        ]
    return open_test(now)


def why_end(now: Situation) -> tuple[End, str] | None:
    """Why no further generation is opened. None: the run continues."""
    config, history = now.config, now.history
    decided = len([generation for generation in history.generations if generation.decision])
    if decided >= config.run.generations:
        return "done", f"all {decided} generations are done"
    settled = convergence(history, config.convergence)
    if settled.state == "idle":
        return "done", settled.why
    if history.stop:
        return "stopped", f"a stop was asked for after generation {decided}"
    first_round = min(config.gate.round_instances, config.gate.max_pairs)
    turn = (
        train_step(config, now.task),
        design_step(config, now.task),
        screen_step(config, now.task),
        confirm_step(config, now.task, first_round),
    )
    if broken := over_budget(history, config.budget, *turn, _test_step(now)):
        return "budget", f"the budget has no room for generation {decided + 1}: {broken}"
    return None


def room(now: Situation, step_pairs: int | None = None) -> str:
    """Why the screen (or a confirmation of so many pairs) would break the budget, or empty."""
    config, task = now.config, now.task
    step = screen_step(config, task) if step_pairs is None else confirm_step(config, task, step_pairs)
    return over_budget(now.history, config.budget, step, _test_step(now))


def open_test(now: Situation) -> list[Message]:
    """First and last release on the sealed split, same instances and seeds; one of them where they are the
    same."""
    first, last = now.history.first, now.history.release
    if first is None or last is None:
        return [_finished(now, *_end(now), None)]
    releases: dict[str, Release] = {"first": first} | ({"last": last} if last != first else {})
    tests = _tests(now)
    if tests and _measured(now, tests[-1], releases):
        return finish_test(now, tests[-1])
    if broken := over_budget(now.history, now.config.budget, _test_step(now)):
        return [_finished(now, "budget", f"no room for the sealed test: {broken}")]
    count = now.config.gate.test_instances
    opened = open_rollouts(now, 0, "test", releases, count, len(tests))
    return opened or [_finished(now, "done", f"the test split of {now.task.name} has no instance")]


def finish_test(now: Situation, rollout: Rollout) -> list[Message]:
    """RunFinished with the sealed test's intervals, from rollouts that have all arrived."""
    arms = [contender.arm for contender in rollout.opened.releases]
    bounds = now.task.manifest.score
    paired = pair(now.states(rollout), arms, now.instances(rollout), bounds, rollout.losses)
    last = arms[-1]
    width = bounds.high - bounds.low
    summary = {
        "first": _interval(paired.scores["first"], bounds.low, bounds.high),
        "last": _interval(paired.scores[last], bounds.low, bounds.high),
        "gain": _interval(paired.differences(last, "first"), -width, width) if len(arms) == 2 else None,
        "instances": list(paired.instances),
        "scores": {arm: list(scores) for arm, scores in paired.scores.items()},
        "lost": paired.lost,
    }
    state, why = _end(now)
    looks = rollout.opened.round + 1
    again = f" (opened for the {looks}. time, on the same instances)" if looks > 1 else ""
    why, test = f"{why}; {_test_text(paired, last)}{again}", put_json(now.store, summary)
    if not paired.instances and rollout.losses:  # broken infrastructure: nothing was measured
        return [RunFinished(run_id=now.run_id, state="failed", why=why, test=test)]
    return [_finished(now, state, why, test)]


def _tests(now: Situation) -> list[Rollout]:
    """Those of earlier ends of the run, and of this one where it is under way."""
    whole = now.history.all.get(0)
    found = sorted(whole.rollouts.items()) if whole else []
    return [rollout for (purpose, _), rollout in found if purpose == "test"]


def _measured(now: Situation, test: Rollout, releases: dict[str, Release]) -> bool:
    """Whether this test, of an earlier end, tells of these releases: nothing is paid twice."""
    theirs = {contender.arm: contender.release for contender in test.opened.releases}
    return theirs == releases and bool(test.results)


def _test_text(paired: Paired, last: str) -> str:
    if not paired.instances:
        return f"the sealed test could not be scored: {paired.lost}"
    if last == "first":
        return "nothing was promoted, so the seed release is still live"
    gain = t_interval(paired.differences(last, "first"), float("-inf"), float("inf"))
    found = f"sealed test: last release against first {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    return f"{found}; {paired.lost}" if paired.lost else found


def _interval(values: tuple[float, ...], low: float, high: float) -> dict[str, float] | None:
    interval: Interval | None = t_interval(values, low, high) if values else None
    return interval.model_dump(mode="json") if interval else None


def _end(now: Situation) -> tuple[End, str]:
    return why_end(now) or ("done", "nothing is left to do")


def _test_step(now: Situation) -> Step:
    return test_step(now.config, now.task, releases=2)


def _finished(now: Situation, state: End, why: str, test: str | None = None) -> RunFinished:
    return RunFinished(run_id=now.run_id, state=state, why=why, test=test)
