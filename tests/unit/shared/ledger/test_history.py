"""A run folds from its event log."""

from shared.ledger.history.folding import apply, fold
from shared.ledger.history.state import RunHistory
from shared.ledger.ledger import LoggedEvent
from shared.messages import events as e
from shared.messages.records import ArmRelease, Cost, Release

SEED = Release(base="b", harness="h0")
BETTER = Release(base="b", harness="h1")
RUN = {"run_id": "r"}


def opened(generation: int, purpose: str = "train", release: Release = SEED) -> e.RolloutsOpened:
    arms = (ArmRelease(arm="train", release=release),)
    return e.RolloutsOpened(
        **RUN, generation=generation, config="c", purpose=purpose, releases=arms, instances="i", seeds=(1,)
    )


def arrived(generation: int, slot: str, result: str | None = "s", **more: object) -> e.ShardFinished:
    join = e.Join(id="j", slot=slot, expected=2)
    return e.ShardFinished(**RUN, generation=generation, join=join, purpose="train", result=result, **more)  # type: ignore[arg-type]


def folded(*messages: e.Message) -> RunHistory:
    return fold(LoggedEvent(n, 100.0 + n, None, event) for n, event in enumerate(messages))


def test_the_first_train_rollout_names_the_seed_release() -> None:
    history = folded(e.RunStarted(**RUN, config="c"), e.BaseReady(**RUN, base="b"), opened(1))
    assert (history.run_id, history.config, history.base) == ("r", "c", "b")
    assert history.first == history.release == SEED
    assert [generation.number for generation in history.generations] == [1]


def test_shards_arrive_once_in_slot_order_and_losses_say_why() -> None:
    cost = Cost(evaluations=3)
    history = folded(
        opened(1),
        arrived(1, "1", "second", cost=cost),
        arrived(1, "0", "first", cost=cost),
        arrived(1, "1", "second again", cost=cost),
    )
    rollout = history.all[1].rollouts[("train", 0)]
    assert rollout.results == ["first", "second"]
    assert history.cost.evaluations == history.all[1].cost.evaluations == 6
    lost = folded(opened(1), arrived(1, "0", None, reason="away")).all[1].rollouts[("train", 0)]
    assert (lost.results, lost.losses) == ([], ["away"])


def test_proposals_keep_their_reason_and_their_answer() -> None:
    history = folded(
        opened(1),
        e.HarnessProposed(**RUN, generation=1, config="c", patch="p", smoke=(), reason="why"),
        e.HarnessValidated(**RUN, generation=1, harness="h1", reason="why"),
        e.WeightUpdateFailed(**RUN, generation=1, reason="nothing to learn from", cost=Cost(train_s=2)),
    )
    generation = history.all[1]
    assert generation.harness is not None
    assert generation.weights is not None
    assert (generation.harness.digest, generation.harness.reason, generation.harness.made) == (
        "p",
        "why",
        "h1",
    )
    assert (generation.weights.digest, generation.weights.refused) == ("", "nothing to learn from")
    assert history.cost.train_s == 2


def test_arms_are_made_of_what_was_answered() -> None:
    history = folded(
        opened(1),
        e.HarnessValidated(**RUN, generation=1, harness="h1", reason=""),
        e.AdapterPublished(**RUN, generation=1, adapter="a1", reason=""),
    )
    arms = history.all[1].arms(("harness", "weights"))
    assert list(arms) == ["base", "harness", "weights", "both"]
    assert arms["both"] == Release(base="b", harness="h1", adapter="a1")
    assert list(history.all[1].arms(("weights",))) == ["base", "weights"]


def test_a_promotion_makes_its_release_the_next_generation_s_base_and_gets_its_reload_times() -> None:
    promoted = e.ReleasePromoted(
        **RUN, generation=1, release=BETTER, arm="harness", evidence="g", why="better"
    )
    history = folded(
        opened(1),
        promoted,
        opened(2, release=BETTER),
        arrived(2, "0", reload={"harness_ms": 8.0}),
        arrived(2, "1", reload={"harness_ms": 900.0}),
    )
    assert history.release == history.all[2].release == BETTER
    assert history.first == SEED
    assert [generation.number for generation in history.promotions] == [1]
    assert history.all[1].reload == {"harness_ms": 8.0}


def test_a_rejection_changes_nothing_that_is_live() -> None:
    history = folded(
        opened(1), e.ReleaseRejected(**RUN, generation=1, release=SEED, evidence=None, why="worse")
    )
    assert (history.all[1].decision, history.release) == ("rejected", SEED)


def test_the_sealed_test_belongs_to_no_generation() -> None:
    history = folded(opened(1), opened(0, "test"))
    assert [generation.number for generation in history.generations] == [1]
    assert ("test", 0) in history.all[0].rollouts


def test_the_first_end_counts() -> None:
    history = folded(
        e.RunStarted(**RUN, config="c"),
        e.RunFinished(**RUN, state="failed", why="no base"),
        e.RunFinished(**RUN, state="done", why="late"),
    )
    assert (history.state, history.why, history.finished) == ("failed", "no base", True)
    assert history.elapsed_s == 2.0
    assert history.finished_at == 101.0


def test_one_event_more_is_the_same_as_folding_it() -> None:
    messages = [opened(1), e.ReleaseRejected(**RUN, generation=1, release=SEED, evidence=None, why="worse")]
    history = folded(messages[0])
    apply(history, messages[1], 101.0)
    assert history == folded(*messages)
