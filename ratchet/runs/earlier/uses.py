"""How often the cases that judge a run have judged other runs of its folder before. A case is one instance
as the verifier deals it, to the byte. The results of what was used before may have been seen when this run's
settings were chosen; no test can correct for that, so it is counted and reported.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from ratchet.runs.earlier.reading import Others, others, task_name
from ratchet.runs.folder import RunFolder
from shared.config.settings import RunConfig
from shared.decisions import seeds
from shared.decisions.pool import WHOLE, WHOLE_TIMEOUT_S, draw_order
from shared.errors import RatchetError, TaskError
from shared.ledger.ledger import LoggedEvent
from shared.messages.events import RolloutsOpened
from shared.messages.records import JsonObject, digest_of
from shared.store.store import Store, get_json
from shared.tasks.draws import draw
from shared.tasks.task import Task

GATE, TEST = "gate", "test"
SPLITS = {"screen": GATE, "confirm": GATE, "test": TEST}  # of the purposes that judge
SHOWN = 5  # names of runs in a sentence

Used = dict[str, float]  # case -> when it was first opened, seconds since 1970


def used_by(log: Iterable[LoggedEvent], store: Store) -> dict[str, Used]:
    """By split, the cases of one run."""
    found: dict[str, Used] = {GATE: {}, TEST: {}}
    for logged in log:
        if isinstance(logged.event, RolloutsOpened) and (split := SPLITS.get(logged.event.purpose)):
            for instance in get_json(store, logged.event.instances):
                found[split].setdefault(digest_of(instance), logged.at)
    return found


def uses_before(folder: RunFolder, log: list[LoggedEvent], config: RunConfig) -> JsonObject:
    """Of a run that has started: its cases that another run had opened before it did."""
    before = others(folder.path.parent, task_name(config), folder.run_id)
    return _summary(used_by(log, folder.open_store()), before)


def uses_foreseen(before: Others, config: RunConfig, task: Task) -> JsonObject:
    """Of a run that is about to start: the cases that it may be judged by. They are drawn, the public side
    alone, only where another run of the task is there; null where they can't be."""
    mine: dict[str, list[JsonObject]] = {GATE: [], TEST: []}
    if before.runs:
        try:
            mine = {GATE: draw_order(config, task), TEST: _test_cases(config, task)}
        except TaskError:
            return {GATE: None, TEST: None, "not_read": before.unread}
    used = {split: {digest_of(one): math.inf for one in cases} for split, cases in mine.items()}
    return _summary(used, before)


def _test_cases(config: RunConfig, task: Task) -> list[JsonObject]:
    """The whole split where it ends; else what the run's seed draws."""
    seed = seeds.instance_seed(config, 0, "test")
    whole = draw(task, "test", max(WHOLE, config.gate.test_instances), seed, WHOLE_TIMEOUT_S)
    return whole if len(whole) < WHOLE else draw(task, "test", config.gate.test_instances, seed)


def _summary(mine: Mapping[str, Used], before: Others) -> JsonObject:
    theirs, unread = {}, before.unread
    for run in before.runs:
        try:
            theirs[run.name] = used_by(run.log, run.store)
        except RatchetError:  # an object is gone from its store
            unread += 1
    return {split: _counted(mine[split], split, theirs) for split in (GATE, TEST)} | {"not_read": unread}


def _counted(mine: Used, split: str, theirs: Mapping[str, Mapping[str, Used]]) -> JsonObject:
    times: Counter[str] = Counter()
    by = []
    for name, used in sorted(theirs.items()):
        shared = [case for case, at in used[split].items() if case in mine and at < mine[case]]
        times.update(shared)
        by += [name] * bool(shared)
    return {
        "cases": len(mine),
        "used_before": len(times),
        "most_times": max(times.values(), default=0),
        "by_runs": by,
    }


def uses_text(found: JsonObject) -> list[str]:
    """Warnings, a sentence each; none where nothing was used before."""
    lines = []
    gate, test = found[GATE], found[TEST]
    if gate is None or test is None:
        lines.append("other runs of this task are here; whether they used the same cases can't be drawn now")
    if gate and gate["used_before"]:
        lines.append(
            f"{gate['used_before']} of {gate['cases']} gate cases were used before, "
            f"by {_runs(gate['by_runs'])}, none more often than {gate['most_times']}"
        )
    if test and test["used_before"]:
        lines.append(
            f"the sealed test was opened by {_runs(test['by_runs'])} on {test['used_before']} of "
            f"{test['cases']} cases: its results may have been seen when this run's settings were chosen"
        )
    if lines and found["not_read"]:
        lines.append(f"{found['not_read']} more runs of this folder were not read (no time, or not here)")
    return lines


def _runs(names: list[str]) -> str:
    listed = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"{len(names)} earlier run{'s' * (len(names) > 1)} of this folder ({listed})"
