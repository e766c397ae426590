"""A toy world around the real feedback service, on the real ledger and in-memory bus: agent, sandbox and
trainer are a few lines each, and a release's true quality is known. Scores: 0.3, +0.25 for a good harness,
+0.25 for an adapter."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feedback_service.course.situation import Deps
from feedback_service.handlers import handlers
from shared.bus.bus import Handler, MemoryBus
from shared.config.settings import AdvisorSection, RunConfig, load_config
from shared.harness.bundle import PatchRefused, apply_patch, load_harness
from shared.ledger.history.folding import fold
from shared.ledger.history.state import RunHistory
from shared.ledger.ledger import Ledger
from shared.messages import events as e
from shared.messages.proposals import Patch
from shared.messages.records import (
    AttemptPlan,
    AttemptState,
    Candidate,
    Cost,
    Evaluation,
    Release,
    Sample,
    ShardState,
    Turn,
    digest_of,
)
from shared.model.client import Chat
from shared.model.opening import open_chat
from shared.store.store import LocalStore, Store, get_bundle, get_json, get_record, put_bundle, put_json
from tests.parts.replaying import must_replay_equal

VERIFIER = """
def draw(split, count, seed):
    return [{"id": f"{split}-{seed}-{i}"} for i in range(count)]
"""
KNOBS = """
[knobs.temperature]
kind = "float"
low = 0.0
high = 1.0
value = 0.5

[knobs.pin_shape]
kind = "choice"
choices = ["free", "round", "square"]
value = "free"
"""
RUN = "toy"


def make_task(folder: Path, knobs: str = KNOBS) -> str:
    """A task folder; returns its path as a config names it."""
    (folder / "harness" / "prompts").mkdir(parents=True)
    (folder / "task.toml").write_text(
        'name = "toy"\n[attempt]\ncandidates = 1\nrequests = 1\nmax_tokens = 10\n'
    )
    (folder / "verifier.py").write_text(VERIFIER)
    (folder / "harness" / "harness.toml").write_text(knobs)
    (folder / "harness" / "scaffold.py").write_text(
        "def step(instance, history, knobs, context):\n    return {}\n"
    )
    return str(folder)


@dataclass
class World:
    """`gain` maps (has a good harness, has an adapter) to what is added to the score."""

    folder: Path
    sections: dict[str, Any] = field(default_factory=dict)
    gain: Callable[[bool, bool], float] = lambda harness, adapter: 0.25 * harness + 0.25 * adapter
    spread: float = 0.05
    refuse_harness: bool = False
    fail_training: bool = False
    fails: Callable[[Release], bool] = lambda release: False  # whose attempts crash
    no_base: str = ""  # why there is none
    unserved: dict[str, str] = field(default_factory=dict)  # arms of a screen that are null, and why
    refused: str = ""  # why the endpoint takes no request
    waits_s: dict[str, float] = field(default_factory=dict)  # by arm, what each reply takes
    ending: str = ""  # how every reply ends, without an answer
    lose: Callable[[e.RolloutsOpened], bool] = lambda event: False
    kills: Callable[[str, set[str]], bool] | None = None  # which shards (instance, arms) are lost
    name: str = RUN
    knobs: str = KNOBS  # the harness's
    surface: Callable[[dict[str, Any]], float] | None = None  # what a setting of the knobs adds to the score
    wrap: Callable[[Handler], Handler] = lambda handler: handler  # around each of feedback's
    ledger_url: str = ""  # empty: a file in the folder
    on_store: Store | None = None  # None: in the folder
    opened: list[e.RolloutsOpened] = field(default_factory=list)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)  # of the knobs, by harness

    def __post_init__(self) -> None:
        task = make_task(self.folder / "task", self.knobs)
        self.store: Store = self.on_store or LocalStore(self.folder / "store")
        self.ledger = Ledger(self.ledger_url or f"sqlite:///{self.folder / 'ledger.sqlite'}")
        self.ledger.database.keep_open()  # as a worker does
        self.ledger.create_schema()
        self.ledger.create_run(self.name)
        self.config: RunConfig = load_config([{"run": {"task": task}}, self.sections])
        self.config_digest = put_json(self.store, self.config)
        mine: dict[type[e.Message], Handler] = {
            e.BaseRequested: self.make_base,
            e.RolloutsOpened: self.roll_out,
            e.HarnessProposed: self.validate,
            e.DemonstrationsRequested: self.demonstrate,
            e.WeightUpdateProposed: self.train,
            e.ReleasePromoted: lambda event: [],
        }
        real = handlers(Deps(ledger=self.ledger, store=self.store, advisor_of=self.advisor))
        feedback = {kind: self.wrap(handler) for kind, handler in real.items()}
        self.bus = MemoryBus(self.ledger, mine | feedback)

    def advisor(self, section: AdvisorSection) -> Chat:
        return open_chat(section.model_copy(update={"timeout_s": 2.0}), self.store, api_key="k")

    def run(self, first: e.Message | None = None) -> RunHistory:
        self.bus.submit([first or e.RunStarted(run_id=self.name, config=self.config_digest)])
        self.bus.drain()
        must_replay_equal(self.ledger, self.name, self.store)
        return self.history()

    def history(self) -> RunHistory:
        return fold(self.ledger.events(self.name))

    def make_base(self, event: e.BaseRequested) -> list[e.Message]:
        if self.no_base:
            return [e.BaseFailed(run_id=self.name, reason=self.no_base)]
        return [e.BaseReady(run_id=self.name, base="base" * 16)]

    def roll_out(self, event: e.RolloutsOpened) -> list[e.Message]:
        self.opened.append(event)
        instances = get_json(self.store, event.instances)
        join = e.Join(id=event.digest, slot="0", expected=1)
        where = {"run_id": self.name, "generation": event.generation, "join": join}
        where |= {"purpose": event.purpose, "round": event.round}
        if self.lose(event):
            return [e.ShardFinished(**where, result=None, reason="the endpoint was away")]
        if self.kills is not None:
            return self.one_shard_each(event, instances, self.kills)
        attempts = [
            self.attempt(instance, contender.arm, contender.release, seed, contender.knobs)
            for number, instance in enumerate(instances)
            for seed in event.seeds
            for contender in event.releases
            if event.purpose != "screen" or contender.arm not in self.unserved
            if number in contender.instances or not contender.instances
        ]
        cost = Cost(evaluations=2 * len(attempts), completion_tokens=10 * len(attempts))
        result = put_json(
            self.store, ShardState(attempts=tuple(attempts), cost=cost, null_arms=self.unserved)
        )
        reload = {"harness_ms": 5.0, "adapter_ms": 7.0}
        return [e.ShardFinished(**where, result=result, cost=cost, reload=reload)]

    def one_shard_each(
        self, event: e.RolloutsOpened, instances: list[dict[str, Any]], kills: Callable[[str, set[str]], bool]
    ) -> list[e.Message]:
        """A shard an instance, lost where `kills` has it so for this instance and these arms together."""
        where = {"run_id": self.name, "generation": event.generation, "purpose": event.purpose}
        finished: list[e.Message] = []
        for number, instance in enumerate(instances):
            join = e.Join(id=event.digest, slot=f"{number:04d}", expected=len(instances))
            fields = {**where, "round": event.round, "join": join}
            if kills(instance["id"], {contender.arm for contender in event.releases}):
                finished.append(e.ShardFinished(**fields, result=None, reason="the verifier broke down"))
                continue
            attempts = [
                self.attempt(instance, contender.arm, contender.release, seed)
                for seed in event.seeds
                for contender in event.releases
            ]
            result = put_json(self.store, ShardState(attempts=tuple(attempts)))
            finished.append(e.ShardFinished(**fields, result=result))
        return finished

    def attempt(
        self,
        instance: dict[str, Any],
        arm: str,
        release: Release,
        seed: int,
        knobs: dict[str, Any] | None = None,
    ) -> AttemptState:
        rng = random.Random(digest_of([instance, arm, release.digest, seed, *filter(None, [knobs])]))
        setting = self.settings_of(release.harness) | (knobs or {})
        pinned = setting.get("pin_shape", "free")
        shape = pinned if pinned != "free" else rng.choice(["round", "square"])
        score = 0.3 + self.gain(pinned == "round", release.adapter is not None) + rng.gauss(0, self.spread)
        score += self.surface(setting) if self.surface else 0.0
        score += 0.1 * (shape == "round") * (pinned == "free")  # what the main effects can see
        result = Evaluation(outcome="ok", score=min(1.0, max(0.0, score)))
        if self.fails(release):
            result = Evaluation(outcome="crashed", score=0.0)
        reply = json.dumps({"shape": shape, "n": rng.randrange(3)})
        tried = Candidate(content=f"{reply} {rng.random()}", samples=(0,))
        turns = (
            Turn(action={"ask": []}, replies=(Sample(text=reply, waited_s=self.waits_s.get(arm, 0.0)),)),
            Turn(action={"try": [tried.model_dump(mode="json")]}, results=(result,)),
        )
        name = digest_of([instance, arm, release.digest, seed, knobs])[:16]
        plan = AttemptPlan(
            attempt_id=name, instance=instance, arm=arm, release=release, seed=seed, knobs=knobs or {}
        )
        if self.refused:
            result = Evaluation(outcome="request_refused", score=0.0, detail=self.refused)
            return AttemptState(plan=plan, final=result, error=self.refused)
        if self.ending:
            turns = (Turn(action={"ask": []}, replies=(Sample(text="", finish_reason=self.ending),)),)
        return AttemptState(plan=plan, turns=turns, answer=tried, final=result)

    def settings_of(self, harness: str) -> dict[str, Any]:
        if harness not in self.settings:
            self.settings[harness] = load_harness(get_bundle(self.store, harness)).values
        return self.settings[harness]

    def validate(self, event: e.HarnessProposed) -> list[e.Message]:
        where = {"run_id": self.name, "generation": event.generation, "join": event.join}
        patch = get_record(self.store, event.patch, Patch)
        try:
            if self.refuse_harness:
                raise PatchRefused("the smoke run looped")
            files = apply_patch(get_bundle(self.store, patch.base), patch)
        except PatchRefused as error:
            return [e.HarnessRefused(**where, reason=error.message)]
        return [e.HarnessValidated(**where, harness=put_bundle(self.store, files), reason=event.reason)]

    def demonstrate(self, event: e.DemonstrationsRequested) -> list[e.Message]:
        raise AssertionError("the toy task offers no right answers")

    def train(self, event: e.WeightUpdateProposed) -> list[e.Message]:
        where = {"run_id": self.name, "generation": event.generation, "join": event.join}
        if self.fail_training:
            return [e.WeightUpdateFailed(**where, reason="the loss exploded")]
        adapter = digest_of(["adapter", event.update, event.generation])
        return [e.AdapterPublished(**where, adapter=adapter, reason=event.reason, cost=Cost(train_s=3))]


def purposes(opened: Sequence[e.RolloutsOpened]) -> list[str]:
    return [event.purpose for event in opened]
