"""Writes a run of many generations straight into a ledger and a store: invented scores and texts, in the
shapes of real ones, for the console's benchmark and tests. No loop, no model and no verifier runs.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import insert

from ratchet.runs.folder import RunFolder
from shared.config.settings import RunConfig
from shared.decisions.intervals import t_interval
from shared.ledger.schema import events, runs
from shared.messages import events as e
from shared.messages.evidence import ArmResult, GateRecord
from shared.messages.proposals import TrainingCurves
from shared.messages.records import (
    ArmRelease,
    AttemptPlan,
    AttemptState,
    Candidate,
    Cost,
    Evaluation,
    Purpose,
    Release,
    Sample,
    ShardState,
    Turn,
)
from shared.store.store import LocalStore, Store, put_bundle, put_json

ARMS = ("base", "harness", "weights", "both")
PAIRS = 60  # of each confirmation
SHARD = 10  # attempts
STEPS = 20  # of each training
SECONDS = 2.0  # between two events


def write_run(root: Path, name: str, generations: int, attempts: int, finished: bool = True) -> RunFolder:
    """`attempts`: of all generations together; rounded down to whole shards of ten, the same in each."""
    folder = RunFolder(root / name)
    folder.path.mkdir(parents=True)
    config = RunConfig().model_dump(mode="json")
    (folder.path / "config.json").write_text(RunConfig().model_dump_json(), encoding="utf-8")
    store = _Unsynced(folder.store)
    writer = _Writer(store, name, put_json(store, config))
    told = list(writer.run(generations, attempts // generations // SHARD, finished))
    ledger = folder.open_ledger()
    ledger.create_schema()
    rows = [
        {"id": event.digest, "run_id": name, "at": 1.7e9 + SECONDS * number, "body": event.model_dump_json()}
        for number, event in enumerate(told)
    ]
    with ledger.database.write() as connection:
        state = "done" if finished else "running"
        connection.execute(insert(runs).values(id=name, state=state, stop_requested=False))
        connection.execute(insert(events), rows)
    return folder


class _Unsynced(LocalStore):
    """The same folder, written without fsync: what is invented can be invented again."""

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self.root / "objects" / digest[:2] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return digest


class _Writer:
    """The events of one run, in order; their records are stored as they are made."""

    def __init__(self, store: Store, run_id: str, config: str) -> None:
        self.store, self.run_id, self.config = store, run_id, config
        self.random = random.Random(0)
        self.live = Release(base="0" * 64, harness=self.harness(0))
        self.level = 0.3

    def run(self, generations: int, shards: int, finished: bool) -> Iterator[e.Message]:
        yield e.RunStarted(run_id=self.run_id, config=self.config)
        yield e.BaseReady(run_id=self.run_id, base=self.live.base)
        for number in range(1, generations + 1):
            yield from self.generation(number, shards)
        if finished:
            why = f"the limit of {generations} generations"
            yield e.RunFinished(run_id=self.run_id, state="done", why=why)

    def generation(self, number: int, shards: int) -> Iterator[e.Message]:
        where = {"run_id": self.run_id, "generation": number}
        yield from self.rollout(number, "train", shards - shards // 2 - shards // 4, ("train",))
        made = self.live.model_copy(update={"harness": self.harness(number), "adapter": f"{number:064x}"})
        patch = put_json(self.store, {"generation": number})
        yield e.HarnessProposed(
            **where, config=self.config, patch=patch, smoke=(), reason="prompt: say the format once more"
        )
        yield e.HarnessValidated(**where, harness=made.harness, reason="its smoke run passed", patch=patch)
        reason = "the policy gradient of the last traces"
        yield e.WeightUpdateProposed(
            **where, config=self.config, release=self.live, update=patch, reason=reason
        )
        curves, cost = self.curves(), Cost(train_s=30)
        yield e.AdapterPublished(
            **where, adapter=made.adapter or "", reason="trained", cost=cost, curves=curves
        )
        yield from self.rollout(number, "screen", shards // 2, ARMS)
        yield from self.rollout(number, "confirm", shards // 4, ("base", "both"))
        yield self.decision(number, made)

    def rollout(
        self, number: int, purpose: Purpose, shards: int, arms: tuple[str, ...]
    ) -> Iterator[e.Message]:
        where = {"run_id": self.run_id, "generation": number, "purpose": purpose}
        releases = tuple(ArmRelease(arm=arm, release=self.live) for arm in arms)
        instances = put_json(self.store, [number, purpose])
        opened = e.RolloutsOpened(
            **where, config=self.config, releases=releases, instances=instances, seeds=(0,)
        )
        yield opened
        for shard in range(shards):
            join = e.Join(id=opened.digest, slot=f"{shard:04d}", expected=shards)
            yield e.ShardOpened(**where, config=self.config, plan=instances, join=join)
            states = tuple(self.attempt(number, purpose, shard, place, arms) for place in range(SHARD))
            result = put_json(self.store, ShardState(attempts=states))
            cost = Cost(evaluations=SHARD, prompt_tokens=400 * SHARD, completion_tokens=100 * SHARD)
            yield e.ShardFinished(**where, result=result, cost=cost, join=join)

    def attempt(
        self, number: int, purpose: str, shard: int, place: int, arms: tuple[str, ...]
    ) -> AttemptState:
        plan = AttemptPlan(
            attempt_id=f"{number:04x}{purpose}{shard:04x}{place:02x}",
            instance={"id": f"{purpose}-{number}-{shard * SHARD + place}", "text": "a case " * 20},
            arm=arms[place % len(arms)],
            release=self.live,
            seed=0,
        )
        tried = Candidate(content=f"answer {self.random.random()}", samples=(0,))
        result = Evaluation(outcome="ok", score=self.score(0.0))
        ask = {"messages": [{"role": "user", "content": "Which of the classes is it? " * 10}]}
        turns = (
            Turn(action={"ask": [ask]}, replies=(Sample(text=tried.content, finish_reason="stop"),)),
            Turn(action={"try": [tried.model_dump(mode="json")]}, results=(result,)),
        )
        return AttemptState(plan=plan, turns=turns, answer=tried, final=result)

    def decision(self, number: int, made: Release) -> e.Message:
        where = {"run_id": self.run_id, "generation": number}
        gain = self.random.gauss(0.005, 0.02)
        scores = {arm: [self.score(gain * (arm != "base")) for _ in range(30)] for arm in ARMS}
        differences = tuple(max(-1.0, min(1.0, gain + self.random.gauss(0, 0.1))) for _ in range(PAIRS))
        promoted = gain > 0.03
        record = GateRecord(
            screen={arm: ArmResult(interval=t_interval(found, 0.0, 1.0)) for arm, found in scores.items()},
            chosen="both",
            differences=differences,
            e_value=30.0 if promoted else 1.0,
            threshold=20.0,
            alpha=0.05,
            max_pairs=PAIRS,
            gain=t_interval(differences, -1.0, 1.0),
        )
        evidence = put_json(self.store, record)
        if promoted:
            self.live, self.level = made, self.level + gain * (0.8 - self.level)
            why = f"both is better: e-value 30 of 20 after {PAIRS} pairs"
            return e.ReleasePromoted(**where, release=made, arm="both", evidence=evidence, why=why)
        why = f"e-value 1 of 20 after {PAIRS} pairs"
        return e.ReleaseRejected(**where, release=self.live, evidence=evidence, why=why)

    def score(self, gain: float) -> float:
        return max(0.0, min(1.0, self.level + gain + self.random.gauss(0, 0.1)))

    def harness(self, number: int) -> str:
        prompt = "\n".join(f"Rule {rule}: be exact." for rule in range(20)) + f"\nRule 20: version {number}."
        return put_bundle(self.store, {"prompts/system.md": prompt.encode()})

    def curves(self) -> str:
        loss = tuple(2.0 / (1 + step) + self.random.gauss(0, 0.02) for step in range(STEPS))
        return put_json(self.store, TrainingCurves(series={"loss": loss}))
