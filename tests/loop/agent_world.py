"""An agent for tests: real handlers, box, scaffolds, ledger and store, an endpoint of the test, and what a
sandbox would say. Not a test.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_service.adapters import Adapters
from agent_service.handlers import Deps, handlers
from shared.config.settings import load_config
from shared.harness.steps import ScaffoldPool
from shared.ledger.ledger import Ledger
from shared.messages.events import (
    CandidatesProposed,
    CandidatesScored,
    Message,
    RolloutsOpened,
    ShardFinished,
)
from shared.messages.records import (
    ArmRelease,
    BatchScores,
    CandidateBatch,
    Cost,
    Evaluation,
    JsonObject,
    Release,
    ShardState,
)
from shared.model.client import Chat
from shared.store.shards import get_shard
from shared.store.store import LocalStore, get_record, put_bundle, put_json
from shared.tasks.task import load_task
from tests.parts.endpoint import Endpoint, base_logprobs

SCAFFOLD = """
def step(instance, history, knobs, context):
    parent = context["parent"]["content"] if context["parent"] else "nothing"
    prompt = context["prompts"]["user"].format(word=instance["word"], parent=parent)
    ask = {"messages": [{"role": "user", "content": prompt}], "n": 2, "temperature": knobs["temperature"]}
    if not history:
        return {"ask": [ask]}
    candidates = [{"content": text, "samples": [i]} for i, text in enumerate(history[0]["replies"])]
    if len(history) == 1:
        return {"try": candidates}
    scores = [result["score"] for result in history[1]["results"]]
    return {"answer": candidates[scores.index(max(scores))]}
"""
TOML = '[knobs.temperature]\nkind = "float"\nlow = 0.0\nhigh = 2.0\nvalue = 1.0\n'
TASK = """
name = "words"
[score]
low = -1.0
[attempt]
candidates = 2
requests = 3
max_tokens = 12
turns = 3
step_s = 10
"""


@dataclass
class Agent:
    """The handlers of an agent with all that is theirs."""

    deps: Deps
    endpoint: Endpoint
    ledger: Ledger
    store: LocalStore
    config: str

    def handle(self, event: Message) -> list[Message]:
        return handlers(self.deps)[type(event)](event)

    def harness(self, scaffold: str) -> Release:
        files = {"harness.toml": TOML, "prompts/user.md": "{word} after {parent}", "scaffold.py": scaffold}
        digest = put_bundle(self.store, {name: text.encode() for name, text in files.items()})
        return Release(base="basedigest", harness=digest)

    def with_adapter(self, **card: Any) -> Release:
        """Its adapter shifts the base's log-probabilities; `card`: other fields of its ratchet.json."""
        ids = [5, 6, 7]
        base = base_logprobs(ids)
        served = [value + 0.5 for value in base]
        mark = {"token_ids": ids, "logprobs": served, "base_logprobs": base}
        whole = {"name": "r-g1-aa", "base": "basedigest", "fingerprint": mark, "norm": 1.0, "served": served}
        adapter = put_bundle(self.store, {"ratchet.json": json.dumps(whole | card).encode()})
        return self.harness(SCAFFOLD).model_copy(update={"adapter": adapter})

    def opened(self, *releases: Release, count: int = 2, **change: Any) -> RolloutsOpened:
        instances = [{"id": str(i), "word": f"word{i}"} for i in range(count)]
        event: JsonObject = {
            "run_id": "r",
            "generation": 1,
            "config": self.config,
            "purpose": "train",
            "releases": [ArmRelease(arm=f"arm{i}", release=one) for i, one in enumerate(releases)],
            "instances": put_json(self.store, instances),
            "seeds": (1,),
        }
        return RolloutsOpened(**event | change)

    def score(self, event: CandidatesProposed) -> CandidatesScored:
        """What a sandbox would say: the share of even digits in a candidate."""
        batch = get_record(self.store, event.batch, CandidateBatch)
        blocks = tuple(
            tuple(Evaluation(outcome="ok", score=worth(content)) for _, content in block.entries)
            for block in batch.blocks
        )
        about = event.model_dump(exclude={"type", "check"}) | {"check": event.check}
        cost = Cost(evaluations=sum(map(len, blocks)))
        return CandidatesScored(**about, scores=put_json(self.store, BatchScores(blocks=blocks)), cost=cost)

    def play(self, event: RolloutsOpened) -> tuple[list[ShardFinished], list[Message]]:
        """To the end of all shards; also every message emitted on the way."""
        waiting, emitted, ended = self.handle(event), [], []
        while waiting:
            message = waiting.pop(0)
            emitted.append(message)
            if isinstance(message, ShardFinished):
                ended.append(message)
            else:
                next_event = self.score(message) if isinstance(message, CandidatesProposed) else message
                waiting += self.handle(next_event)
        return ended, emitted

    def state(self, event: ShardFinished) -> ShardState:
        assert event.result is not None
        return get_shard(self.store, event.result)


def worth(content: str) -> float:
    digits = [character for character in content if character.isdigit()]
    return sum(digit in "02468" for digit in digits) / len(digits)


@contextmanager
def made_agent(root: Path, pool: ScaffoldPool) -> Iterator[Agent]:
    folder = root / "words"
    (folder / "harness").mkdir(parents=True)
    for name, text in (("task.toml", TASK), ("verifier.py", ""), ("harness/harness.toml", TOML)):
        (folder / name).write_text(text)
    (folder / "harness/scaffold.py").write_text(SCAFFOLD)
    store = LocalStore(root / "store")
    ledger = Ledger(f"sqlite:///{root / 'ledger.db'}")
    ledger.create_schema()
    ledger.create_run("r")
    config = put_json(store, load_config([{"run": {"task": str(folder)}, "rollouts": {"shard": 1}}]))
    with Endpoint() as endpoint:
        chat = Chat(endpoint.url, store, api_key="k", timeout_s=20, concurrency=4)
        adapters = Adapters(chat, store, root / "cache", "seed")
        deps = Deps(store, ledger, load_task, lambda model, base: adapters, pool, root / "cache")
        yield Agent(deps, endpoint, ledger, store, config)
        chat.close()
