"""The agent on an endpoint that is slow, dear, or refuses: real box, scaffold, ledger and store."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.box.open import open_box
from shared.config.settings import RunConfig
from shared.errors import ArtifactError, ChatUnavailableError, JobHandedBackError
from shared.harness.steps import ScaffoldPool
from shared.messages.events import CandidatesProposed, ShardFinished, ShardOpened
from shared.messages.records import ArmRelease, Release, ShardPlan
from shared.store.shards import get_shard
from shared.store.store import get_record, put_json
from tests.loop.agent_world import SCAFFOLD, Agent, made_agent
from tests.loop.test_agent_shard import TURNS_FOR_EVER
from tests.parts.endpoint import Body, Fault, completion


@pytest.fixture(scope="module")
def pool() -> Iterator[ScaffoldPool]:
    with ScaffoldPool(open_box()) as running:
        yield running


@pytest.fixture
def agent(tmp_path: Path, pool: ScaffoldPool) -> Iterator[Agent]:
    with made_agent(tmp_path, pool) as made:
        yield made


def config(agent: Agent, **sections: dict[str, Any]) -> str:
    whole = get_record(agent.store, agent.config, RunConfig).model_dump() | sections
    return put_json(agent.store, RunConfig.model_validate(whole))


def first_shard(agent: Agent, *releases: Release, **change: Any) -> ShardOpened:
    [shard] = agent.handle(agent.opened(*releases, count=1, **change))
    assert isinstance(shard, ShardOpened)
    return shard


def test_a_slow_reply_holds_up_its_own_attempt_alone(agent: Agent) -> None:
    quick = agent.harness(TURNS_FOR_EVER.replace("prompt,", '"quick",').replace("prompt}", '"quick"}'))
    slow = agent.harness(TURNS_FOR_EVER.replace("prompt,", '"slow",').replace("prompt}", '"slow"}'))
    seen: list[str] = []
    quick_is_through = threading.Event()
    overtaken: list[bool] = []

    def answer(body: Body) -> str:
        kind = body["messages"][0]["content"]
        seen.append(kind)
        if seen.count("quick") == 3:
            quick_is_through.set()
        if kind == "slow" and not overtaken:
            overtaken.append(quick_is_through.wait(30))
        return "1"

    agent.endpoint.answer = answer
    agent.handle(first_shard(agent, slow, quick))
    assert overtaken == [True]


def test_an_arm_whose_adapter_is_not_served_is_null_with_its_reason_and_nothing_else_is(agent: Agent) -> None:
    base, weights = agent.harness(SCAFFOLD), agent.with_adapter(broken=True)
    shard = first_shard(agent, base, weights, purpose="screen")
    plan = get_record(agent.store, shard.plan, ShardPlan)
    assert [attempt.arm for attempt in plan.attempts] == ["arm0"]
    assert "lora_A is not finite" in plan.null_arms["arm1"]
    [ended], _ = agent.play(agent.opened(base, weights, count=1, purpose="screen"))
    assert agent.state(ended).null_arms == plan.null_arms


@pytest.mark.parametrize("purpose", ["screen", "confirm"])
def test_nothing_is_compared_with_a_base_whose_adapter_is_not_served(agent: Agent, purpose: str) -> None:
    base = ArmRelease(arm="base", release=agent.with_adapter(broken=True))
    other = ArmRelease(arm="harness", release=agent.harness(SCAFFOLD))
    for arms in ([base, other], [base]):
        with pytest.raises(ArtifactError, match="lora_A is not finite"):
            agent.handle(agent.opened(purpose=purpose, releases=arms))


def test_no_request_is_sent_that_might_break_a_cap(agent: Agent) -> None:
    # two replies: prompt of about 10 tokens and 12 of the reply each, of which 6 are paid in the end
    shard = first_shard(agent, agent.harness(SCAFFOLD), config=config(agent, budget={"tokens": 30}))
    [lost] = agent.handle(shard)
    assert isinstance(lost, ShardFinished)
    assert lost.result is None
    assert "budget.tokens is 30" in lost.reason
    assert len(agent.endpoint.asked) == 1
    assert lost.cost.prompt_tokens == 3  # what was paid is counted


def test_a_cap_that_leaves_room_is_no_hindrance(agent: Agent) -> None:
    shard = first_shard(agent, agent.harness(SCAFFOLD), config=config(agent, budget={"tokens": 300}))
    [event] = agent.handle(shard)
    assert not isinstance(event, ShardFinished)


def test_what_a_failed_try_paid_for_counts_once_in_the_one_that_succeeds(agent: Agent) -> None:
    agent.endpoint.faults = [Fault(200, json.dumps(completion("12")).encode()), *[Fault(503)] * 4]
    shard = first_shard(agent, agent.harness(SCAFFOLD))
    with pytest.raises(ChatUnavailableError, match="503"):
        agent.handle(shard)
    [event] = agent.handle(shard)
    assert isinstance(event, CandidatesProposed)
    assert get_shard(agent.store, event.state).cost.prompt_tokens == 6


def test_a_job_near_its_limit_is_handed_back_with_what_it_has(agent: Agent) -> None:
    patient = agent.deps
    agent.deps = type(patient)(**(vars(patient) | {"job_limit_s": 0.0}))
    shard = first_shard(agent, agent.harness(SCAFFOLD))
    with pytest.raises(JobHandedBackError, match="the model is slow"):
        agent.handle(shard)
    agent.deps = patient
    assert len(agent.handle(shard)) == 1


def test_a_scaffold_that_draws_random_numbers_gets_no_other_replies_by_making_its_job_fail(
    agent: Agent,
) -> None:
    lucky = SCAFFOLD.replace('"content": prompt', '"content": prompt + str(random.SystemRandom().random())')
    shard = first_shard(agent, agent.harness("import random\n" + lucky))
    agent.endpoint.faults = [Fault(200, json.dumps(completion("12")).encode()), *[Fault(503)] * 4]
    with pytest.raises(ChatUnavailableError, match="503"):
        agent.handle(shard)
    agent.handle(shard)
    assert len({json.dumps(body["messages"]) for body in agent.endpoint.asked}) == 1


def test_how_replies_ended_is_counted(agent: Agent) -> None:
    cut = completion("12", finish_reason="length")
    agent.endpoint.faults = [Fault(200, json.dumps(cut).encode())]
    [last], _ = agent.play(agent.opened(agent.harness(SCAFFOLD), count=1))
    assert last.endings == {"replies": 2, "cut_off": 1}


def test_a_run_may_have_other_limits_than_its_task_the_same_in_every_arm(agent: Agent) -> None:
    other = config(agent, attempt={"max_tokens": 77})
    agent.play(agent.opened(agent.harness(SCAFFOLD), agent.harness(SCAFFOLD + "#\n"), count=1, config=other))
    assert {body["max_tokens"] for body in agent.endpoint.asked} == {77}
