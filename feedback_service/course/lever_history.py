"""What each lever has brought and cost so far, from the run's history and the gate's records."""

from __future__ import annotations

import math

from feedback_service.course.situation import Situation
from shared.decisions import seeds
from shared.decisions.lever_choice import LeverChoice, Pull, choose_levers
from shared.decisions.levers import LEVERS, Lever, levers_in_use, levers_of
from shared.ledger.history.state import Generation
from shared.messages.evidence import GateRecord
from shared.messages.records import Cost
from shared.store.store import get_record


def next_levers(now: Situation, number: int) -> LeverChoice:
    """Those that generation `number` pulls. Empty: all that the config allows."""
    if now.config.run.levers != "auto" or levers_in_use(now.config) != LEVERS:
        return LeverChoice((), "")
    decided = [past for past in now.history.generations if past.decision]
    pulls = {
        lever: [_pull(now, past, lever) for past in decided if lever in levers_of(now.config, past)]
        for lever in LEVERS
    }
    return choose_levers(pulls, seeds.levers_seed(now.config, number))


def _pull(now: Situation, generation: Generation, lever: Lever) -> Pull:
    """The lever's own cost (of its design, or its training), and its share of the screen's."""
    levers = levers_of(now.config, generation)
    own = _cost(generation, "design") if lever == "harness" else generation.cost.train_s
    return Pull(_gain(now, generation, lever), own + _cost(generation, "screen") / len(levers))


def _gain(now: Situation, generation: Generation, lever: Lever) -> float:
    """The confirmed gain; of both levers' together, by what each alone had shown in the screen."""
    if generation.arm not in (lever, "both") or generation.evidence is None:
        return 0.0
    record = get_record(now.store, generation.evidence, GateRecord)
    gain = max(0.0, record.gain.mean) if record.gain else 0.0
    if generation.arm == lever:
        return gain
    shown = {one: max(0.0, _screened(record, one)) for one in LEVERS}
    total = math.fsum(shown.values())
    return gain * (shown[lever] / total if total else 1 / len(LEVERS))


def _screened(record: GateRecord, arm: str) -> float:
    scores, base = record.screen_scores.get(arm, ()), record.screen_scores["base"]
    return math.fsum(a - b for a, b in zip(scores, base, strict=False)) / max(len(base), 1)


def _cost(generation: Generation, purpose: str) -> float:
    shards = [
        s for (p, _), rollout in generation.rollouts.items() if p == purpose for s in rollout.shards.values()
    ]
    cost = sum((shard.cost for shard in shards), Cost())
    return cost.model_s + cost.box_s
