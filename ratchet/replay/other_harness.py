"""What another harness would have done, as far as a run's stored train traces can tell: its scaffold steps in
the box, gets the replies and scores that are stored, and stops where it asks for one that is not. No model is
asked and nothing is scored.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratchet.replay.traces import Traces, question_of, read_traces
from ratchet.runs.folder import RunFolder
from shared.box.open import open_box
from shared.decisions.arms import final_score, instance_key
from shared.decisions.intervals import interval_json
from shared.errors import SettingsError
from shared.harness.bundle import Harness, HarnessError, load_harness
from shared.harness.folder import read_harness
from shared.harness.steps import ScaffoldFailed, ScaffoldPool, scaffold_context
from shared.ledger.history.folding import fold
from shared.messages.records import AttemptState, JsonObject
from shared.store.shards import get_shard
from shared.store.store import LocalStore, materialize, put_bundle
from shared.tasks.task import Task, task_of

OTHER_PROMPT = "asks a question that no stored trace asked"
OTHER_CANDIDATE = "tries a candidate that was never scored"
OTHER_ANSWER = "answers what was never scored"


@dataclass(frozen=True)
class Played:
    """`score` None: the traces can't tell, for the reason `why`."""

    score: float | None
    why: str = ""


@dataclass(frozen=True)
class Other:
    """The other harness, unpacked, on the run's task."""

    task: Task
    harness: Harness
    digest: str
    folder: Path
    pool: ScaffoldPool


def ask_other(folder: RunFolder, first: int, harness: Path) -> dict[str, Any]:
    """From generation `first` on. Raises SettingsError for a generation without traces or a folder that is no
    harness."""
    store, config = folder.open_store(), folder.config()
    history = fold(folder.open_ledger().events(folder.run_id))
    generations = [one for one in history.generations if one.number >= first]
    task = task_of(config)
    with tempfile.TemporaryDirectory() as scratch, ScaffoldPool(open_box()) as pool:
        other = _unpack(task, harness, Path(scratch), pool)
        shown = []
        for generation in generations:
            results = generation.train.results if generation.train else []
            attempts = [one for digest in results for one in get_shard(store, digest).attempts]
            shown += [_generation(generation.number, attempts, other)] if attempts else []
    if not shown:
        there = [one.number for one in history.generations]
        raise SettingsError(f"no train traces from generation {first} on", f"generations there: {there}")
    return {"run": folder.run_id, "harness": other.digest, "generations": shown, "text": _text(shown)}


def _unpack(task: Task, harness: Path, scratch: Path, pool: ScaffoldPool) -> Other:
    if not harness.is_dir():
        raise SettingsError(f"no such folder: {harness}", "`ratchet export RUN OUT` writes one: OUT/harness")
    files = read_harness(harness)
    try:
        loaded = load_harness(files)
    except HarnessError as error:
        raise SettingsError(f"{harness} is no harness: {error.message}") from None
    store = LocalStore(scratch / "store")
    digest = put_bundle(store, files)
    return Other(task, loaded, digest, materialize(store, digest, scratch / "cache"), pool)


def _generation(number: int, attempts: Sequence[AttemptState], other: Other) -> JsonObject:
    traces = read_traces(attempts)
    bounds = other.task.manifest.score
    rows: list[JsonObject] = []
    for place, attempt in enumerate(attempts):
        played = play(place, attempt, traces, other)
        row: JsonObject = {"instance": instance_key(attempt.plan.instance), "seed": attempt.plan.seed}
        rows.append(row | {"then": final_score(attempt, bounds), "now": played.score, "why": played.why})
    both = [row for row in rows if row["then"] is not None and row["now"] is not None]
    return {
        "generation": number,
        "attempts": len(rows),
        "answered": len(both),
        "then": interval_json([row["then"] for row in both]),
        "now": interval_json([row["now"] for row in both]),
        "gain": interval_json([row["now"] - row["then"] for row in both]),
        "unanswered": dict(Counter(row["why"] for row in rows if row["now"] is None)),
        "rows": rows,
    }


def play(place: int, attempt: AttemptState, traces: Traces, other: Other) -> Played:
    """One attempt by the other harness, on stored replies and scores."""
    limits, low = other.task.manifest.attempt, other.task.manifest.score.low
    plan, instance = attempt.plan, instance_key(attempt.plan.instance)
    context = scaffold_context(other.task, other.harness, plan.parent, plan.seed)
    payload = {"instance": plan.instance, "knobs": other.harness.values, "context": context}
    history: list[JsonObject] = []
    times: Counter[str] = Counter()
    for _ in range(limits.turns):
        try:
            given = {**payload, "history": history}
            action = other.pool.step(other.digest, other.folder, given, limits, other.task.public)
        except ScaffoldFailed as error:
            return Played(low, f"fails: {error.message}")
        if "answer" in action:
            final = traces.scores.get((instance, action["answer"]["content"]))
            return Played(final.score) if final else Played(None, OTHER_ANSWER)
        replies: list[str] = []
        for entry in action.get("ask", ()):
            found = traces.replies(place, instance, entry, times[question_of(entry)])
            if found is None:
                return Played(None, OTHER_PROMPT)
            times[question_of(entry)] += 1
            replies += [sample.text for sample in found]
        tried = [traces.scores.get((instance, one["content"])) for one in action.get("try", ())]
        if None in tried:
            return Played(None, OTHER_CANDIDATE)
        results = [one.model_dump(mode="json") for one in tried if one]
        history.append({"action": action, "replies": replies, "results": results})
        if sum(len(turn["replies"]) for turn in history) > limits.requests:
            return Played(low, f"asks for more than {limits.requests} replies")
    return Played(low, f"no answer within {limits.turns} turns")


def _text(shown: Sequence[JsonObject]) -> str:
    lines = []
    for one in shown:
        head = f"generation {one['generation']}: {one['answered']} of {one['attempts']} train attempts"
        if one["answered"]:
            gain = one["gain"]
            spread = f" [{gain['low']:+.3f}, {gain['high']:+.3f}]" if gain["low"] is not None else ""
            means = f"mean {one['then']['mean']:.3f} then, {one['now']['mean']:.3f} now"
            lines.append(f"{head} can be answered: {means}, {gain['mean']:+.3f}{spread}")
        else:
            lines.append(f"{head} can be answered")
        lines += [f"  {count} can't: it {why}" for why, count in one["unanswered"].items()]
    lines.append(
        "A mean is of the attempts that can be answered, which are no fair sample: a harness that asks "
        "otherwise is compared where it asks alike. `ratchet eval` measures it."
    )
    return "\n".join(lines)
