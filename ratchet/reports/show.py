"""The output of `ratchet show RUN --json`: a run's history as plain JSON. It reads and measures nothing
new."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from ratchet.reports.formats import NO_SCREEN
from ratchet.reports.training import curves_of
from ratchet.runs.earlier.uses import uses_before
from ratchet.runs.folder import RunFolder
from shared.config.settings import RunConfig
from shared.decisions import pool
from shared.decisions.convergence import convergence
from shared.decisions.evidence.claims import CLAIMS
from shared.decisions.posted import posted_instances
from shared.decisions.stretches import claimed
from shared.errors import RatchetError
from shared.ledger.history.folding import fold
from shared.ledger.history.state import Generation, Proposal, RunHistory
from shared.ledger.pausing import paused_why
from shared.messages.analysis import Analysis
from shared.messages.evidence import GateRecord
from shared.messages.records import ARMS
from shared.store.store import Store, get_json, get_record
from shared.tasks.task import load_task


def show_run(folder: RunFolder) -> dict[str, Any]:
    ledger = folder.open_ledger()
    log, store = ledger.events(folder.run_id), folder.open_store()
    history = fold(log)
    shown = show_json(history, store)
    if history.config:
        config = get_record(store, history.config, RunConfig)
        shown["gate"]["used_before"] = uses_before(folder, log, config)
    if why := paused_why(ledger, folder.run_id):
        shown |= {"state": "paused", "why": why}
    return shown


def show_json(history: RunHistory, store: Store) -> dict[str, Any]:
    """The run in the shape that people and tools rely on; null where something is not measured (yet)."""
    config = get_record(store, history.config, RunConfig) if history.config else RunConfig()
    state = convergence(history, config.convergence)
    return {
        "run": history.run_id,
        "task": _task_name(config),
        "state": history.state,
        "why": history.why,
        "generations": [show_generation(generation, store) for generation in history.generations],
        "gate": _gate(history, config, store),
        "origin": history.origin or None,
        "rollbacks": [event.why for event in history.rollbacks],
        "posted": _posted(history, store),
        "verifiers": [
            {"digest": digest, "from_generation": generation}
            for digest, generation in history.verifiers.items()
        ],
        "final": {"test": _test(history, store)},
        "convergence": {"state": state.state, "why": state.why},
        "cost": history.cost.model_dump(mode="json"),
        "wall_s": history.elapsed_s,
    }


def _posted(history: RunHistory, store: Store) -> dict[str, Any] | None:
    """Scores of served answers; null: none came. `train_instances`: with those of the run it started from."""
    scores = [event.score for event in history.scores.values()]
    if not scores and not history.brought:
        return None
    instances = len(posted_instances(history, store))
    return {"scores": len(scores), "mean": fmean(scores) if scores else None, "train_instances": instances}


def _gate(history: RunHistory, config: RunConfig, store: Store) -> dict[str, Any]:
    """The basis of the decisions: the test with its assumption, and how much of the pool was used."""
    decided = [generation.evidence for generation in history.generations if generation.evidence]
    records = [get_record(store, digest, GateRecord) for digest in decided]
    test = next((record.test for record in records if record.threshold), config.gate.test)
    bound, used = store.lookup(pool.KIND, history.run_id), pool.uses(history, store)
    order, group = get_json(store, bound) if bound else None, config.gate.group
    return {
        "alpha": config.gate.alpha,
        "claimed_alpha": claimed(config.gate.alpha, history.limits),  # more where it was extended
        "test": test,
        "assumes": CLAIMS[test].assumes,
        "claims": pool.mean_text(order, group),
        "weights": pool.weights(order, group) if order and group else None,  # of the group's values in it
        "pool": len(order) if order is not None else None,  # null: the run drew anew for each round
        "used": len(used),
        "most_uses": max(used.values(), default=0),
    }


def show_generation(generation: Generation, store: Store) -> dict[str, Any]:
    """`harness` and `adapter` are of the release that was live when the generation ended."""
    record = get_record(store, generation.evidence, GateRecord) if generation.evidence else None
    live = generation.promoted or generation.release
    arms = {arm: record.screen.get(arm) if record else None for arm in ARMS}
    intervals = {arm: result.interval if result else None for arm, result in arms.items()}
    reasons = {arm: result.reason if result else NO_SCREEN for arm, result in arms.items()}
    return {
        "generation": generation.number,
        "harness": live.harness if live else None,
        "adapter": live.adapter if live else None,
        "proposals": {
            "harness": _proposal(generation.harness, store),
            "weights": _proposal(generation.weights, store),
        },
        "advisor": _advisor(generation, store),
        "arms": {arm: found.model_dump(mode="json") if found else None for arm, found in intervals.items()},
        "arm_reasons": {arm: reasons[arm] for arm, found in intervals.items() if found is None},
        "gate": {
            "decision": generation.decision,
            "why": generation.why,
            "evidence": _evidence(generation, record),
        },
        "cost": generation.cost.model_dump(mode="json"),
        "endings": dict(generation.endings),
        "reload": {part: generation.reload.get(part) for part in ("harness_ms", "adapter_ms")},
    }


def _advisor(generation: Generation, store: Store) -> dict[str, Any] | None:
    """What an advisor found, and what was dropped of its drafts; null where none was asked."""
    if not generation.analysis:
        return None
    analysis = get_record(store, generation.analysis, Analysis)
    replay = generation.harness.replay if generation.harness else ""
    return {
        "analysis": generation.analysis,
        "engine": analysis.engine,
        "why": analysis.why,
        "findings": [one.model_dump() for draft in analysis.drafts[:1] for one in draft.findings],
        "drafts": [
            {"fault": one.fault or None, "dropped": [dropped.model_dump() for dropped in one.dropped]}
            for one in analysis.drafts
        ],
        "replay": get_json(store, replay)["patches"] if replay else None,
    }


def _proposal(proposal: Proposal | None, store: Store) -> dict[str, Any] | None:
    if proposal is None:
        return None
    reason = proposal.reason or proposal.refused
    return {
        "reason": reason,
        "proposal": proposal.digest or None,
        "made": proposal.made,
        "refused": proposal.refused or None,
        "metrics": proposal.metrics,
        "design": get_json(store, proposal.design) if proposal.design else None,
        "curves": curves_of(proposal, store),
    }


def _evidence(generation: Generation, record: GateRecord | None) -> dict[str, Any] | None:
    if record is None:
        return None
    return {
        "digest": generation.evidence,
        "chosen": record.chosen,
        "test": record.test,
        "pairs": len(record.differences),
        "lost_pairs": record.lost_pairs,
        "e_value": record.e_value,
        "threshold": record.threshold,
        "alpha": record.alpha,
        "waited_s": record.waited_s,
        "gain": record.gain.model_dump(mode="json") if record.gain else None,
    }


def _test(history: RunHistory, store: Store) -> dict[str, Any] | None:
    if history.test is None or history.evaluation is not None:
        return None
    found: dict[str, Any] = get_json(store, history.test)
    return found


def _task_name(config: RunConfig) -> str:
    try:
        return load_task(config.run.task).name
    except RatchetError:  # the task's folder has gone since
        return config.run.task
