"""The agent from event to event: real box, scaffold, ledger and store; an endpoint in the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_service.shards import attach, pending_check
from shared.box.open import open_box
from shared.decisions.arms import final_score
from shared.harness.steps import ScaffoldPool
from shared.messages.events import (
    CandidatesProposed,
    ReleasePromoted,
    RolloutsOpened,
    ShardFinished,
    ShardOpened,
)
from shared.messages.records import (
    ArmRelease,
    AttemptPlan,
    AttemptState,
    BatchScores,
    Block,
    CandidateBatch,
    Evaluation,
    Outcome,
    ShardPlan,
    ShardState,
    Turn,
)
from shared.store.store import get_record
from shared.tasks.task import ScoreSection
from tests.loop.agent_world import SCAFFOLD, Agent, made_agent, worth
from tests.parts.endpoint import Fault

ASKS_ONCE_MORE = SCAFFOLD.replace(
    'return {"answer"', 'return {"ask": [ask]} if max(scores) < 2 else {"answer"'
)
TURNS_FOR_EVER = SCAFFOLD.replace("if not history:", "if True:").replace('"n": 2', '"n": 1')
CRASHES = "def step(instance, history, knobs, context):\n    return instance['colour']\n"


@pytest.fixture(scope="module")
def pool() -> Iterator[ScaffoldPool]:
    with ScaffoldPool(open_box()) as running:
        yield running


@pytest.fixture
def agent(tmp_path: Path, pool: ScaffoldPool) -> Iterator[Agent]:
    with made_agent(tmp_path, pool) as made:
        yield made


def test_a_rollout_plays_from_opening_to_its_join(agent: Agent) -> None:
    ended, emitted = agent.play(agent.opened(agent.harness(SCAFFOLD)))

    joins = [event.join for event in ended if event.join]
    assert [(join.slot, join.expected) for join in joins] == [("0000", 2), ("0001", 2)]
    assert joins[0].id == joins[1].id
    checks = [(event.check, event.turn) for event in emitted if isinstance(event, CandidatesProposed)]
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
    shard = agent.handle(agent.opened(agent.harness(SCAFFOLD)))[0]
    [first] = agent.handle(shard)
    paid = len(agent.endpoint.asked)
    [again] = agent.handle(shard)
    assert isinstance(first, CandidatesProposed)
    assert isinstance(again, CandidatesProposed)
    assert again.batch == first.batch
    assert len(agent.endpoint.asked) == paid == 2


def test_arms_are_paired_and_meet_in_one_block(agent: Agent) -> None:
    other = agent.harness(SCAFFOLD + "# another\n")
    ended, emitted = agent.play(agent.opened(agent.harness(SCAFFOLD), other, count=1, purpose="screen"))
    [block] = get_record(
        agent.store, next(e for e in emitted if isinstance(e, CandidatesProposed)).batch, CandidateBatch
    ).blocks
    assert len({attempt_id for attempt_id, _ in block.entries}) == 2
    one, two = agent.state(ended[0]).attempts
    assert [sample.text for sample in one.replies] == [sample.text for sample in two.replies]
    assert len(agent.endpoint.asked) == 2  # the same question with the same seed is one question


def test_a_design_asks_with_the_knobs_of_each_trial(agent: Agent) -> None:
    live = agent.harness(SCAFFOLD)
    trials = [
        ArmRelease(arm="design", release=live, knobs={"temperature": value}, instances=(place,))
        for place, value in enumerate((0.25, 1.5))
    ]
    ended, _ = agent.play(agent.opened(live, purpose="design", releases=trials))
    attempts = [attempt for event in ended for attempt in agent.state(event).attempts]
    assert [attempt.plan.knobs for attempt in attempts] == [{"temperature": 0.25}, {"temperature": 1.5}]
    asked = [attempt.turns[0].action["ask"][0]["temperature"] for attempt in attempts]
    assert asked == [0.25, 1.5]


def test_a_harness_that_crashes_ends_with_the_lowest_score_and_spares_the_others(agent: Agent) -> None:
    ended, _ = agent.play(agent.opened(agent.harness(CRASHES), agent.harness(SCAFFOLD), count=1))
    crashed, sound = agent.state(ended[0]).attempts
    assert crashed.final is not None
    assert (crashed.final.outcome, crashed.final.score) == ("crashed", -1.0)
    assert "colour" in crashed.error
    assert sound.final is not None
    assert sound.final.score >= 0


def test_a_shard_in_which_all_fail_still_ends(agent: Agent) -> None:
    [ended], emitted = agent.play(agent.opened(agent.harness(CRASHES), count=1))
    assert [type(event) for event in emitted] == [ShardOpened, ShardFinished]
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
    assert [attempt.final and attempt.final.outcome for attempt in (refused, sound)] == [
        "request_refused",
        "ok",
    ]


def test_an_action_that_can_not_be_stored_is_refused(agent: Agent) -> None:
    odd = SCAFFOLD.replace('"n": 2', '"n": 2, "schema": {"maximum": float("nan")}')
    [ended], _ = agent.play(agent.opened(agent.harness(odd), count=1))
    [attempt] = agent.state(ended).attempts
    assert attempt.final is not None
    assert attempt.final.outcome in ("refused", "crashed")


def test_half_a_character_in_an_action_is_mended(agent: Agent) -> None:
    odd = SCAFFOLD.replace('"n": 2', '"n": 2, "schema": {"title": "\\ud800"}')
    [ended], _ = agent.play(agent.opened(agent.harness(odd), count=1))
    [attempt] = agent.state(ended).attempts
    assert attempt.final is not None
    assert attempt.final.outcome == "ok"
    assert attempt.turns[0].action["ask"][0]["schema"] == {"title": "\ufffd"}


def test_an_attempt_whose_tried_candidate_is_lost_ends_without_a_score(agent: Agent) -> None:
    plan = AttemptPlan(
        attempt_id="a", instance={"id": "1"}, arm="base", release=agent.harness(SCAFFOLD), seed=1
    )
    tried = Turn(action={"try": [{"content": "x", "samples": []}, {"content": "y", "samples": []}]})
    state = ShardState(attempts=(AttemptState(plan=plan, turns=(tried,)),))
    block = Block(instance={"id": "1"}, entries=(("a", "x"), ("a", "y")))
    batch = CandidateBatch(task="task", check="public", fresh=False, blocks=(block,))
    outcomes: tuple[Outcome, ...] = ("ok", "lost")
    results = tuple(Evaluation(outcome=outcome, score=0.5) for outcome in outcomes)

    attached = attach(state, batch, BatchScores(blocks=(results,)))

    assert pending_check(attached) is None
    assert final_score(attached.attempts[0], ScoreSection()) is None


def test_max_tokens_is_the_tasks_in_every_arm(agent: Agent) -> None:
    agent.play(agent.opened(agent.harness(SCAFFOLD), count=1))
    assert {body["max_tokens"] for body in agent.endpoint.asked} == {12}


def test_later_train_attempts_start_from_the_archive_and_gate_attempts_do_not(agent: Agent) -> None:
    release = agent.harness(SCAFFOLD)
    ended, _ = agent.play(agent.opened(release))
    agent.ledger.submit(ended)

    def parents(event: RolloutsOpened) -> list[str | None]:
        shards = [one for one in agent.handle(event) if isinstance(one, ShardOpened)]
        plans = [plan for one in shards for plan in get_record(agent.store, one.plan, ShardPlan).attempts]
        return [plan.parent.node if plan.parent else None for plan in plans]

    past = {attempt.plan.attempt_id for event in ended for attempt in agent.state(event).attempts}
    first, second = parents(agent.opened(release, generation=2))
    assert first is None
    assert second in past
    assert parents(agent.opened(release, generation=2, purpose="confirm")) == [None, None]
    assert parents(agent.opened(release)) == [None, None]  # a repeat of generation 1 sees what it saw then


def test_a_promotion_is_warmed_and_its_reload_times_are_told_once(agent: Agent) -> None:
    release = agent.with_adapter()
    agent.ledger.submit([agent.opened(agent.harness(SCAFFOLD))])
    promoted = ReleasePromoted(run_id="r", generation=1, release=release, arm="both", evidence="", why="")
    agent.ledger.submit([promoted])

    assert agent.handle(promoted) == []
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
