"""The advisor within a run: what it is told of the situation, and what a generation's record keeps of it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial

from feedback_service.course.situation import Situation
from feedback_service.propose.advisor.asking import Advice, Checks, Purse, advise
from feedback_service.propose.advisor.learning import learning_of
from feedback_service.propose.advisor.past import before, last_notes, past_generations
from feedback_service.propose.advisor.patching import patch_of
from feedback_service.propose.advisor.prompt import Question
from feedback_service.propose.advisor.traces import Before, Trace, all_traces, chosen_traces
from feedback_service.propose.diagnosis import Diagnosis
from feedback_service.propose.edit_budget import MOST, edit_budget
from feedback_service.propose.memory import Memory
from feedback_service.propose.right_answers import offers_answers
from shared.decisions import seeds
from shared.decisions.arms import instance_key
from shared.ledger.history.state import Generation, Rollout
from shared.messages.analysis import Analysis, Learning
from shared.messages.proposals import DesignRecord
from shared.messages.records import digest_of
from shared.store.store import get_bundle, get_record

SLOW = 4  # generations between two looks at the harness as a whole (SkillOpt's slow update)
SLOW_SHOWN = 20


def advice_on(
    now: Situation,
    generation: Generation,
    rollout: Rollout,
    diagnosis: Diagnosis,
    memory: Memory,
    design: DesignRecord | None = None,
) -> Advice:
    """Nothing where there is no advisor. `design`: what trials of knob settings on train instances found."""
    section = now.config.advisor
    if not section.url:
        return Advice()
    question = replace(_question(now, generation, rollout, diagnosis, memory), design=design)
    states = now.states(rollout)
    checks = Checks(
        patch=partial(
            patch_of,
            base=question.base,
            files=question.files,
            memory=memory,
            most_edits=question.most_edits,
        ),
        learning=partial(
            learning_of,
            training=now.config.training,
            states=states,
            offers_answers=offers_answers(now, question.base),
        ),
    )
    payer = digest_of([now.run_id, generation.number, "advisor"])
    purse = Purse(now.config.budget, now.history.cost, payer, now.counter)
    seed = seeds.patch_seed(now.config, generation.number)
    with closing(now.advisor_of(section)) as chat:
        return advise(chat, section, question, checks, now.store, purse, seed)


def _question(
    now: Situation, generation: Generation, rollout: Rollout, diagnosis: Diagnosis, memory: Memory
) -> Question:
    assert generation.release is not None
    base = generation.release.harness
    traces = all_traces(now.states(rollout))
    earlier = before(now.history, now.store, generation.number)
    slow = generation.number % SLOW == 0
    budget = edit_budget(generation.number, now.config.run.generations)
    return Question(
        task=now.task.manifest,
        base=base,
        files=get_bundle(now.store, base),
        diagnosis=diagnosis,
        memory=memory,
        traces=traces,
        chosen=chosen_traces(traces, earlier),
        past=past_generations(now.history, now.store),
        notes=last_notes(now.history, now.store),
        most_edits=MOST if slow else budget,
        number=generation.number,
        slow=_slow(traces, before(now.history, now.store, generation.number, base)) if slow else [],
    )


def _slow(traces: list[Trace], earlier: dict[str, Before]) -> list[tuple[str, float, float]]:
    """Train instances that an earlier harness met too: their scores then and now, the largest changes
    first."""
    scores: dict[str, list[float]] = {}
    for trace in traces:
        if trace.score is not None:
            scores.setdefault(instance_key(trace.attempt.plan.instance), []).append(trace.score)
    rows = [
        (key, earlier[key].score, sum(values) / len(values))
        for key, values in scores.items()
        if key in earlier
    ]
    return sorted(rows, key=lambda row: -abs(row[2] - row[1]))[:SLOW_SHOWN]


def advised_learning(now: Situation, generation: Generation) -> Learning | None:
    """What this generation's advisor wanted of the weight update, from the record."""
    if not generation.analysis:
        return None
    analysis = get_record(now.store, generation.analysis, Analysis)
    return None if analysis.learning_of is None else analysis.drafts[analysis.learning_of].learning
