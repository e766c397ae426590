"""A generation's design of experiments over the knobs: which trials come next, and what they have shown.

Its trials are train attempts of the live release with other knobs, each paired with the live setting's
attempt on the same instance with the same seed. What earlier generations have shown counts as well: in full
where the weights and the texts of the harness are the same, else as a hint. docs/analyst.md describes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from feedback_service.course.budget import over_budget
from feedback_service.course.situation import Situation
from feedback_service.design.contenders import Changed, Study, winner
from feedback_service.design.levels import space_of
from feedback_service.design.rungs import Trial, next_rung
from feedback_service.design.surface import Gain, Observation, Surface
from feedback_service.propose.memory import remember
from feedback_service.propose.moves import Move, edit_key
from shared.decisions import seeds
from shared.decisions.arms import final_score, instance_key
from shared.decisions.levers import levers_of
from shared.decisions.plan import design_step, designs, screen_step, test_step
from shared.harness.bundle import Harness, load_harness
from shared.ledger.history.state import Generation
from shared.messages.events import Message, RolloutsOpened
from shared.messages.proposals import DesignRecord, Edit, KnobGain
from shared.messages.records import ArmRelease, AttemptState, Release
from shared.store.store import get_bundle

OTHER_CONDITIONS = 4.0  # times the noise: measured with other weights or texts
SHOWN = 12  # settings of a record


def next_trials(now: Situation, generation: Generation, rung: int) -> list[Message]:
    """The next rung's rollout, or nothing where the design is off, at its end, or beyond the budget."""
    train, release = generation.train, generation.sampled
    if not designs(now.config, levers_of(now.config, generation)):
        return []
    if train is None or not train.results or release is None:
        return []
    instances = [instance_key(instance) for instance in now.instances(train)]
    seed = seeds.design_seed(now.config, generation.number, rung)
    trials = next_rung(study_of(now, generation), rung, now.config.rollouts.design, instances, seed)
    attempts = sum(len(trial.instances) for trial in trials)
    step = design_step(now.config, now.task, attempts)
    later = screen_step(now.config, now.task), test_step(now.config, now.task, releases=2)
    if not trials or over_budget(now.history, now.config.budget, step, *later):
        return []
    return [
        RolloutsOpened(
            run_id=now.run_id,
            generation=generation.number,
            config=now.history.config,
            purpose="design",
            round=rung,
            releases=tuple(_contender(trial, release) for trial in trials),
            instances=train.opened.instances,
            seeds=train.opened.seeds[:1],
        )
    ]


def _contender(trial: Trial, release: Release) -> ArmRelease:
    return ArmRelease(arm="design", release=release, knobs=trial.changed, instances=trial.instances)


def study_of(now: Situation, generation: Generation) -> Study:
    """All that the run's train attempts so far say about the knobs of this generation's harness."""
    release = generation.sampled
    assert release is not None, "a generation opens with a release"

    @cache
    def harness_of(digest: str) -> Harness:
        return load_harness(get_bundle(now.store, digest))

    live = harness_of(release.harness)
    before = [past for past in now.history.generations if past.number < generation.number]
    first = all(purpose != "design" for past in before for purpose, _ in past.rollouts)
    space = space_of(live, trials=now.task.manifest.attempt.candidates > 0, first=first)
    observations = []
    for attempt in _attempts(now, [*before, generation]):
        score = final_score(attempt, now.task.manifest.score)
        if score is not None and attempt.plan.parent is None:  # a start from a parent compares with nothing
            then = attempt.plan.release
            same = then.adapter == release.adapter and _texts(harness_of(then.harness)) == _texts(live)
            settings = space.whole(harness_of(then.harness).values | attempt.plan.knobs)
            share = (score - now.task.manifest.score.low) / _width(now)
            name = instance_key(attempt.plan.instance)
            observations.append(Observation(name, settings, share, 1.0 if same else OTHER_CONDITIONS))
    worth = now.config.gate.min_effect / _width(now)
    refused = remember(now.history, now.store).closed(release.harness)
    surface = Surface(space, observations)
    return Study(space, observations, surface, worth, lambda changed: _keys(changed) in refused)


def _attempts(now: Situation, generations: Iterable[Generation]) -> Iterator[AttemptState]:
    """Not those of a train rollout that was opened anew: it failed for a cause outside of the run."""
    for generation in generations:
        for (purpose, _), rollout in sorted(generation.rollouts.items()):
            if purpose == "design" or rollout is generation.train:
                for state in now.states(rollout):
                    yield from state.attempts


def _texts(harness: Harness) -> tuple[object, ...]:
    return harness.scaffold, harness.prompts, harness.exemplars


def _width(now: Situation) -> float:
    return now.task.manifest.score.high - now.task.manifest.score.low


def edits_of(changed: Changed) -> tuple[Edit, ...]:
    return tuple(Edit(kind="set_knob", path=name, new=value) for name, value in sorted(changed.items()))


def _keys(changed: Changed) -> frozenset[str]:
    return frozenset(map(edit_key, edits_of(changed)))


@dataclass(frozen=True)
class Found:
    """`move`: None where no setting is surely better than the live one."""

    move: Move | None
    record: DesignRecord


def found(now: Situation, generation: Generation) -> Found | None:
    """The move to the best setting that ran, if it is surely better than the live one, with all that is known
    of the knobs. None: no design ran in this generation."""
    rungs = [r for (purpose, _), r in generation.rollouts.items() if purpose == "design"]
    if not rungs:
        return None
    study = study_of(now, generation)
    best = winner(study)
    attempts = sum(len(state.attempts) for rollout in rungs for state in now.states(rollout))
    record = _record(study, attempts, _width(now), best[0] if best else {})
    return Found(_move(*best, attempts, _width(now)) if best else None, record)


def _move(changed: Changed, gain: Gain, attempts: int, width: float) -> Move:
    values = ", ".join(f"{name} = {value}" for name, value in sorted(changed.items()))
    reason = (
        f"set {values}: {gain.mean * width:+.3f} (standard error {gain.error * width:.3f}) over the live "
        f"setting on train instances, the best of a design of {attempts} attempts"
    )
    return Move(edits_of(changed), reason)


def _record(study: Study, attempts: int, width: float, proposed: Changed) -> DesignRecord:
    alone = [{name: value} for name, values in study.space.others.items() for value in values]
    ran = [dict(key) for key in study.runs() if key]
    levels = _gains(study, alone, width)
    settings = sorted(_gains(study, ran, width), key=lambda one: (-one.gain, repr(one.knobs)))
    return DesignRecord(
        attempts=attempts,
        known=len(study.observations),
        levels=tuple(levels),
        settings=tuple(settings[:SHOWN]),
        proposed=proposed,
    )


def _gains(study: Study, settings: list[Changed], width: float) -> list[KnobGain]:
    runs = {repr(sorted(key)): count for key, count in study.runs().items()}
    gains = study.surface.gains([study.space.whole(changed) for changed in settings])
    return [
        KnobGain(
            knobs=changed,
            gain=gain.mean * width,
            error=gain.error * width,
            sure=gain.sure,
            attempts=runs.get(repr(sorted(changed.items())), 0),
        )
        for changed, gain in zip(settings, gains, strict=True)
    ]
