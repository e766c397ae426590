"""The agent from event to event: real box, scaffold, ledger and store; an endpoint in the test."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_service.adapters import Adapters
from agent_service.handlers import Deps, handlers
from shared.box import open_box
from shared.chat import Chat
from shared.events import (
    CandidatesProposed,
    CandidatesScored,
    Message,
    ReleasePromoted,
    RolloutsOpened,
    ShardFinished,
    ShardOpened,
)
from shared.ledger import Ledger
from shared.records import (
    ArmRelease,
    BatchScores,
    CandidateBatch,
    Cost,
    Evaluation,
    JsonObject,
    Release,
    ShardPlan,
    ShardState,
)
from shared.settings import load_config
from shared.steps import ScaffoldPool
from shared.store import LocalStore, get_record, put_bundle, put_json
from shared.task import load_task
from tests.endpoint import Endpoint, Fault, base_logprobs

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
ASKS_ONCE_MORE = SCAFFOLD.replace(
    'return {"answer"', 'return {"ask": [ask]} if max(scores) < 2 else {"answer"'
)
TURNS_FOR_EVER = SCAFFOLD.replace("if not history:", "if True:").replace('"n": 2', '"n": 1')
CRASHES = "def step(instance, history, knobs, context):\n    return instance['colour']\n"
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


@pytest.fixture(scope="module")
def pool() -> Iterator[ScaffoldPool]:
    with ScaffoldPool(open_box()) as running:
        yield running


@dataclass
class Agent:
    """The handlers of an agent with all that is theirs."""

    deps: Deps
    endpoint: Endpoint
    ledger: Ledger
    store: LocalStore
    config: str

    def hear(self, event: Message) -> list[Message]:
        return handlers(self.deps)[type(event)](event)

    def harness(self, scaffold: str) -> Release:
        files = {"harness.toml": TOML, "prompts/user.md": "{word} after {parent}", "scaffold.py": scaffold}
        digest = put_bundle(self.store, {name: text.encode() for name, text in files.items()})
        return Release(base="basedigest", harness=digest)

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
        """To the end of all shards; also everything that was said on the way."""
        waiting, said, ended = self.hear(event), [], []
        while waiting:
            message = waiting.pop(0)
            said.append(message)
            if isinstance(message, ShardFinished):
                ended.append(message)
            else:
                heard = self.score(message) if isinstance(message, CandidatesProposed) else message
                waiting += self.hear(heard)
        return ended, said

    def state(self, event: ShardFinished) -> ShardState:
        assert event.result is not None
        return get_record(self.store, event.result, ShardState)


def worth(content: str) -> float:
    digits = [character for character in content if character.isdigit()]
    return sum(digit in "02468" for digit in digits) / len(digits)


@pytest.fixture
def agent(tmp_path: Path, pool: ScaffoldPool) -> Iterator[Agent]:
    folder = tmp_path / "words"
    (folder / "harness").mkdir(parents=True)
    for name, text in (("task.toml", TASK), ("verifier.py", ""), ("harness/harness.toml", TOML)):
        (folder / name).write_text(text)
    (folder / "harness/scaffold.py").write_text(SCAFFOLD)
    store = LocalStore(tmp_path / "store")
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.create_schema()
    ledger.create_run("r")
    config = put_json(store, load_config([{"run": {"task": str(folder)}, "rollouts": {"shard": 1}}]))
    with Endpoint() as endpoint:
        chat = Chat(endpoint.url, store, api_key="k", timeout_s=20, concurrency=4)
        adapters = Adapters(chat, store, tmp_path / "cache", "seed")
        deps = Deps(store, ledger, load_task, lambda model, base: adapters, pool, tmp_path / "cache")
        yield Agent(deps, endpoint, ledger, store, config)
        chat.close()


def test_a_rollout_plays_from_opening_to_its_join(agent: Agent) -> None:
    ended, said = agent.play(agent.opened(agent.harness(SCAFFOLD)))

    joins = [event.join for event in ended if event.join]
    assert [(join.slot, join.expected) for join in joins] == [("0000", 2), ("0001", 2)]
    assert joins[0].id == joins[1].id
    checks = [(event.check, event.turn) for event in said if isinstance(event, CandidatesProposed)]
    assert checks == [("public", 0), ("public", 0), ("final", 1), ("final", 1)]
    for event in ended:
        [attempt] = agent.state(event).attempts
        assert attempt.final is not None
        assert attempt.answer is not None
        assert attempt.final.score == max(worth(reply.text) for reply in attempt.replies)
        assert attempt.answer.content == attempt.replies[attempt.answer.samples[0]].text
        assert event.cost == agent.state(event).cost
        assert (event.cost.evaluations, event.cost.prompt_tokens) == (3, 6)


def test_the_same_event_twice_gives_the_same_events_and_pays_nothing(agent: Agent) -> None:
    shard = agent.hear(agent.opened(agent.harness(SCAFFOLD)))[0]
    [first] = agent.hear(shard)
    paid = len(agent.endpoint.asked)
    [again] = agent.hear(shard)
    assert isinstance(first, CandidatesProposed)
    assert isinstance(again, CandidatesProposed)
    assert again.batch == first.batch
    assert len(agent.endpoint.asked) == paid == 2


def test_arms_are_paired_and_meet_in_one_block(agent: Agent) -> None:
    other = agent.harness(SCAFFOLD + "# another\n")
    ended, said = agent.play(agent.opened(agent.harness(SCAFFOLD), other, count=1, purpose="screen"))
    [block] = get_record(
        agent.store, next(e for e in said if isinstance(e, CandidatesProposed)).batch, CandidateBatch
    ).blocks
    assert len({attempt_id for attempt_id, _ in block.entries}) == 2
    one, two = agent.state(ended[0]).attempts
    assert [sample.text for sample in one.replies] == [sample.text for sample in two.replies]
    assert len(agent.endpoint.asked) == 2  # the same question with the same seed is one question


def test_a_harness_that_crashes_ends_with_the_lowest_score_and_spares_the_others(agent: Agent) -> None:
    ended, _ = agent.play(agent.opened(agent.harness(CRASHES), agent.harness(SCAFFOLD), count=1))
    crashed, sound = agent.state(ended[0]).attempts
    assert crashed.final is not None
    assert (crashed.final.outcome, crashed.final.score) == ("crashed", -1.0)
    assert "colour" in crashed.error
    assert sound.final is not None
    assert sound.final.score >= 0


def test_a_shard_in_which_all_fail_still_ends(agent: Agent) -> None:
    [ended], said = agent.play(agent.opened(agent.harness(CRASHES), count=1))
    assert [type(event) for event in said] == [ShardOpened, ShardFinished]
    assert agent.state(ended).attempts[0].final is not None


def test_an_attempt_that_wants_more_replies_ends_with_its_best_candidate(agent: Agent) -> None:
    [ended], _ = agent.play(agent.opened(agent.harness(ASKS_ONCE_MORE), count=1))
    [attempt] = agent.state(ended).attempts
    assert "reply 4 of at most 3" in attempt.error
    assert attempt.final is not None
    assert attempt.final.score == max(worth(reply.text) for reply in attempt.replies)
    assert len(agent.endpoint.asked) == 2


def test_an_attempt_that_never_answers_ends_after_its_turns(agent: Agent) -> None:
    [ended], _ = agent.play(agent.opened(agent.harness(TURNS_FOR_EVER), count=1))
    [attempt] = agent.state(ended).attempts
    assert attempt.final is not None
    assert (attempt.final.outcome, attempt.final.score) == ("refused", -1.0)
    assert len(attempt.turns) == len(agent.endpoint.asked) == 3


def test_a_question_that_the_endpoint_refuses_ends_its_attempt_alone(agent: Agent) -> None:
    louder = agent.harness(SCAFFOLD.replace('"content": prompt', '"content": prompt + "!"'))
    agent.endpoint.faults = [Fault(400, b'{"error": {"message": "context too long"}}')]
    [ended], _ = agent.play(agent.opened(agent.harness(SCAFFOLD), louder, count=1))
    refused, sound = sorted(agent.state(ended).attempts, key=lambda attempt: not attempt.error)
    assert "context too long" in refused.error
    assert [attempt.final and attempt.final.outcome for attempt in (refused, sound)] == ["refused", "ok"]


def test_an_action_that_can_not_be_stored_is_refused(agent: Agent) -> None:
    odd = SCAFFOLD.replace('"n": 2', '"n": 2, "schema": {"maximum": "\\ud800"}')
    [ended], _ = agent.play(agent.opened(agent.harness(odd), count=1))
    [attempt] = agent.state(ended).attempts
    assert attempt.final is not None
    assert attempt.final.outcome in ("refused", "crashed")


def test_max_tokens_is_the_tasks_in_every_arm(agent: Agent) -> None:
    agent.play(agent.opened(agent.harness(SCAFFOLD), count=1))
    assert {body["max_tokens"] for body in agent.endpoint.asked} == {12}


def test_later_train_attempts_start_from_the_archive_and_gate_attempts_do_not(agent: Agent) -> None:
    release = agent.harness(SCAFFOLD)
    ended, _ = agent.play(agent.opened(release))
    agent.ledger.submit(ended)

    def parents(event: RolloutsOpened) -> list[str | None]:
        shards = [one for one in agent.hear(event) if isinstance(one, ShardOpened)]
        plans = [plan for one in shards for plan in get_record(agent.store, one.plan, ShardPlan).attempts]
        return [plan.parent.node if plan.parent else None for plan in plans]

    past = {attempt.plan.attempt_id for event in ended for attempt in agent.state(event).attempts}
    first, second = parents(agent.opened(release, generation=2))
    assert first is None
    assert second in past
    assert parents(agent.opened(release, generation=2, purpose="confirm")) == [None, None]
    assert parents(agent.opened(release)) == [None, None]  # a repeat of generation 1 sees what it saw then


def test_a_promotion_is_warmed_and_its_reload_times_are_told_once(agent: Agent) -> None:
    ids = [5, 6, 7]
    base = base_logprobs(ids)
    told = [value + 0.5 for value in base]
    mark = {"token_ids": ids, "logprobs": told, "base_logprobs": base}
    card = {"name": "r-g1-aa", "base": "basedigest", "fingerprint": mark, "norm": 1.0, "served": told}
    adapter = put_bundle(agent.store, {"ratchet.json": json.dumps(card).encode()})
    release = agent.harness(SCAFFOLD).model_copy(update={"adapter": adapter})
    agent.ledger.submit([agent.opened(agent.harness(SCAFFOLD))])
    promoted = ReleasePromoted(run_id="r", generation=1, release=release, arm="both", evidence="", why="")
    agent.ledger.submit([promoted])

    assert agent.hear(promoted) == []
    assert list(agent.endpoint.adapters) == ["r-g1-aa"]

    first, _ = agent.play(agent.opened(release, generation=2, count=1))
    assert set(first[0].reload) == {"harness_ms", "adapter_ms"}
    assert {body["model"] for body in agent.endpoint.asked} == {"r-g1-aa"}
    agent.ledger.submit(first)
    later, _ = agent.play(agent.opened(release, generation=3, count=1))
    assert later[0].reload == {}


def test_a_promotion_of_the_harness_alone_has_no_adapter_time(agent: Agent) -> None:
    release = agent.harness(SCAFFOLD)
    promoted = ReleasePromoted(run_id="r", generation=1, release=release, arm="harness", evidence="", why="")
    agent.ledger.submit([promoted])
    [ended], _ = agent.play(agent.opened(release, generation=2, count=1))
    assert set(ended.reload) == {"harness_ms"}
