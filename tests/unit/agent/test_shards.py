"""Plans cut into shards, candidates laid into blocks, scores put back."""

import pytest

from agent_service.shards import attach, gather, pending_check, plan_shards
from shared.config.settings import load_config
from shared.errors import ArtifactError
from shared.messages.events import RolloutsOpened
from shared.messages.records import (
    ArmRelease,
    AttemptState,
    BatchScores,
    Candidate,
    Evaluation,
    Parent,
    Release,
    ShardState,
    Turn,
)

ARMS = tuple(ArmRelease(arm=arm, release=Release(base="b", harness=arm)) for arm in ("base", "harness"))
INSTANCES = [{"id": i} for i in range(5)]
OPENED = RolloutsOpened(run_id="r", config="c", purpose="screen", releases=ARMS, instances="i", seeds=(3, 4))


CONFIG = load_config([{"run": {"task": "t"}}])


def state_of(*attempts: AttemptState) -> ShardState:
    return ShardState(attempts=attempts)


def planned() -> list[AttemptState]:
    [shard] = plan_shards(OPENED, INSTANCES[:1], 6, [])
    return [AttemptState(plan=plan) for plan in shard.attempts]


def tries(attempt: AttemptState, *contents: str) -> AttemptState:
    turn = Turn(action={"try": [{"content": content, "samples": []} for content in contents]})
    return attempt.model_copy(update={"turns": (*attempt.turns, turn)})


def answers(attempt: AttemptState, content: str) -> AttemptState:
    return attempt.model_copy(update={"answer": Candidate(content=content)})


def test_every_arm_meets_an_instance_in_the_same_shard_with_the_same_seed() -> None:
    shards = plan_shards(OPENED, INSTANCES, 2, [])
    assert [len(shard.attempts) for shard in shards] == [8, 8, 4]
    for shard in shards:
        for base, harness in zip(shard.attempts[::2], shard.attempts[1::2], strict=True):
            assert (base.arm, harness.arm) == ("base", "harness")
            assert (base.instance, base.seed) == (harness.instance, harness.seed)
    plans = [plan for shard in shards for plan in shard.attempts]
    assert len({plan.attempt_id for plan in plans}) == 20
    assert len({plan.seed for plan in plans}) == 10  # an instance's own for each of the two seeds


def test_the_cut_does_not_change_an_attempt() -> None:
    small = [plan for shard in plan_shards(OPENED, INSTANCES, 1, []) for plan in shard.attempts]
    [large] = plan_shards(OPENED, INSTANCES, 10, [])
    assert tuple(small) == large.attempts


def test_half_of_the_instances_are_offered_a_parent_and_all_their_attempts_get_the_same() -> None:
    parents = [Parent(content=str(i), reply="", score=0.5, node=str(i)) for i in range(2)]
    [shard] = plan_shards(OPENED, INSTANCES, 10, parents)
    nodes = [plan.parent.node if plan.parent else None for plan in shard.attempts]
    assert nodes == [None] * 4 + ["0"] * 4 + [None] * 4 + ["1"] * 4 + [None] * 4  # two seeds, two arms each


def test_answers_wait_until_no_attempt_tries_any_more() -> None:
    one, two, *_ = planned()
    trying, answered = tries(one, "x", "y"), answers(two, "z")
    assert pending_check(state_of(trying, answered)) == "public"
    batch = gather(state_of(trying, answered), "public", "screen", CONFIG)
    assert [content for _, content in batch.blocks[0].entries] == ["x", "y"]

    both = state_of(answers(trying, "x"), answered)
    assert pending_check(both) == "final"
    [block] = gather(both, "final", "screen", CONFIG).blocks
    assert block.entries == ((one.plan.attempt_id, "x"), (two.plan.attempt_id, "z"))


def test_only_train_may_use_cached_evaluations() -> None:
    state = state_of(answers(planned()[0], "x"))
    fresh = {
        purpose: gather(state, "final", purpose, CONFIG).fresh for purpose in ("train", "screen", "confirm")
    }
    assert fresh == {"train": False, "screen": True, "confirm": True}


def test_scores_go_back_to_the_attempts_that_wait_for_them() -> None:
    one, two, *_ = planned()
    state = state_of(tries(one, "x", "y"), tries(two, "z"))
    batch = gather(state, "public", "train", CONFIG)
    x, y, z = (Evaluation(outcome="ok", score=score) for score in (0.1, 0.2, 0.3))
    scored = attach(state, batch, BatchScores(blocks=((x, y, z),)))
    assert [attempt.turns[-1].results for attempt in scored.attempts] == [(x, y), (z,)]

    ended = attach(
        state_of(answers(one, "x")),
        gather(state_of(answers(one, "x")), "final", "train", CONFIG),
        BatchScores(blocks=((y,),)),
    )
    assert ended.attempts[0].final == y
    assert pending_check(ended) is None


def test_scores_of_another_shape_are_no_scores() -> None:
    state = state_of(answers(planned()[0], "x"))
    with pytest.raises(ArtifactError, match="shape"):
        attach(state, gather(state, "final", "train", CONFIG), BatchScores(blocks=((),)))


def test_contenders_of_a_design_run_with_their_knobs_on_their_instances_alone() -> None:
    live = Release(base="b", harness="live")
    trials = tuple(
        ArmRelease(arm="design", release=live, knobs={"shots": shots}, instances=places)
        for shots, places in ((1, (0, 3)), (5, (3,)))
    )
    event = OPENED.model_copy(update={"purpose": "design", "releases": trials, "seeds": (3,)})
    shards = plan_shards(event, INSTANCES, 2, [])
    plans = [plan for shard in shards for plan in shard.attempts]
    assert [(plan.instance["id"], plan.knobs) for plan in plans] == [
        (0, {"shots": 1}),
        (3, {"shots": 1}),
        (3, {"shots": 5}),
    ]
    assert len({plan.attempt_id for plan in plans}) == 3
    assert plans[1].seed == plans[2].seed
    assert len(shards) == 2  # the shard of the last instance, on which none runs, is left out


def test_a_designs_attempt_has_the_seed_of_the_live_setting() -> None:
    live = (ArmRelease(arm="train", release=Release(base="b", harness="live")),)
    trial = (live[0].model_copy(update={"arm": "design", "knobs": {"shots": 1}}),)
    seeds = [
        [plan.seed for shard in plan_shards(event, INSTANCES, 2, []) for plan in shard.attempts]
        for event in (
            OPENED.model_copy(update={"purpose": "train", "releases": live}),
            OPENED.model_copy(update={"purpose": "design", "releases": trial}),
        )
    ]
    assert seeds[0] == seeds[1]
