"""Feedback through whole runs: events in, events out, on the real ledger and the in-memory bus."""

from pathlib import Path
from typing import Any

import pytest

from ratchet.reports.show import show_json
from shared.decisions.gate import decide
from shared.ledger.history.state import RunHistory
from shared.messages import events as e
from shared.messages.evidence import GateRecord
from shared.messages.proposals import Patch
from shared.messages.records import ARMS, Release
from shared.store.store import get_json, get_record, put_bundle, put_json
from tests.loop.toy_world import RUN, World, purposes

GATE = {"screen_instances": 6, "round_instances": 12, "max_pairs": 36, "test_instances": 6}


def world(folder: Path, **changes: Any) -> World:
    sections = {"run": {"generations": 2}, "gate": GATE} | changes.pop("sections", {})
    return World(folder, sections, **changes)


@pytest.fixture(scope="module")
def improved(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, RunHistory]:
    made = world(tmp_path_factory.mktemp("improved"))
    return made, made.run()


def test_a_run_with_true_gains_promotes_and_ends_with_the_sealed_test(
    improved: tuple[World, RunHistory],
) -> None:
    made, history = improved
    assert history.state == "done"
    assert history.generations[0].decision == "promoted"
    assert history.generations[0].arm == "both"
    assert history.release != history.first
    assert purposes(made.opened)[-1] == "test"
    test = get_json(made.store, history.test or "")
    assert test["last"]["mean"] > test["first"]["mean"] + 0.2
    assert test["gain"]["low"] > 0


def test_all_four_arms_are_measured_and_both_levers_say_why(improved: tuple[World, RunHistory]) -> None:
    made, history = improved
    shown = show_json(history, made.store)["generations"][0]
    assert all(shown["arms"][arm]["n"] == 6 for arm in ARMS)
    assert "shape" in shown["proposals"]["harness"]["reason"]
    assert shown["proposals"]["weights"]["reason"].startswith("reinforce: only 2.0 replies a group")
    assert shown["reload"] == {"harness_ms": 5.0, "adapter_ms": 7.0}
    assert shown["cost"]["evaluations"] > 0
    assert shown["harness"] == history.generations[0].promoted.harness  # type: ignore[union-attr]


def test_what_is_claimed_and_assumed_is_shown_and_each_gate_instance_served_once(
    improved: tuple[World, RunHistory],
) -> None:
    made, history = improved
    gate = show_json(history, made.store)["gate"]
    assert (gate["test"], gate["most_uses"], gate["pool"]) == ("graded", 1, 4096)
    assert "lie evenly about their mean" in gate["assumes"]
    assert gate["used"] == sum(
        len(get_json(made.store, event.instances)) for event in made.opened
        if event.purpose in ("screen", "confirm")
    )  # fmt: skip


def test_every_decision_recomputes_from_its_stored_evidence(improved: tuple[World, RunHistory]) -> None:
    made, history = improved
    for generation in history.generations:
        verdict = decide(get_record(made.store, generation.evidence or "", GateRecord))
        assert (verdict.decision, verdict.why) == (generation.decision, generation.why)


def test_confirm_meets_no_instance_of_the_screen_or_of_an_earlier_round(tmp_path: Path) -> None:
    last = {"run": {"generations": 1}}  # is confirmed however small its chance
    made = world(tmp_path, gain=lambda harness, adapter: 0.12 * adapter, spread=0.1, sections=last)
    made.run()
    seen = [
        instance["id"]
        for event in made.opened
        if event.generation == 1 and event.purpose in ("screen", "confirm")
        for instance in get_json(made.store, event.instances)
    ]
    assert len(seen) > 6
    assert len(seen) == len(set(seen))


def test_all_arms_of_a_rollout_share_instances_and_seeds(improved: tuple[World, RunHistory]) -> None:
    made, _ = improved
    screen = next(event for event in made.opened if event.purpose == "screen")
    assert [contender.arm for contender in screen.releases] == list(ARMS)
    assert len(screen.seeds) == 1


def test_a_refused_harness_and_a_failed_training_end_in_a_rejection_that_says_both(tmp_path: Path) -> None:
    made = world(tmp_path, refuse_harness=True, fail_training=True)
    history = made.run()
    assert purposes(made.opened) == ["train", "train", "test"]
    assert [generation.decision for generation in history.generations] == ["rejected", "rejected"]
    assert "smoke run looped" in history.generations[0].why
    assert "loss exploded" in history.generations[0].why
    assert history.state == "done"
    assert show_json(history, made.store)["generations"][0]["arms"] == dict.fromkeys(ARMS)


def test_one_failed_lever_leaves_its_arms_null_and_the_other_is_compared(tmp_path: Path) -> None:
    made = world(tmp_path, fail_training=True, sections={"run": {"generations": 1}})
    history = made.run()
    shown = show_json(history, made.store)["generations"][0]
    assert shown["arms"]["weights"] is None
    assert "loss exploded" in shown["arm_reasons"]["both"]
    assert (shown["gate"]["decision"], shown["gate"]["evidence"]["chosen"]) == ("promoted", "harness")


def test_a_refused_patch_is_not_proposed_again_on_the_same_harness(tmp_path: Path) -> None:
    made = world(tmp_path, refuse_harness=True, fail_training=True, sections={"run": {"generations": 4}})
    history = made.run()
    digests = [generation.harness.digest for generation in history.generations if generation.harness]
    patches = [get_record(made.store, digest, Patch) for digest in digests if digest]
    edits = [frozenset((edit.path, str(edit.new)) for edit in patch.edits) for patch in patches]
    assert len(edits) == 4
    assert len(edits) == len(set(edits))


def test_equal_arms_are_not_promoted(tmp_path: Path) -> None:
    made = world(tmp_path, gain=lambda harness, adapter: 0.1 * harness, spread=0.2)
    history = made.run()
    assert not history.promotions
    assert history.release == history.first
    assert "nothing was promoted" in history.why


@pytest.mark.parametrize("lever", ["harness", "weights"])
def test_one_lever_alone(tmp_path: Path, lever: str) -> None:
    made = world(tmp_path, sections={"run": {"generations": 1, "levers": lever}})
    history = made.run()
    screen = next(event for event in made.opened if event.purpose == "screen")
    assert [contender.arm for contender in screen.releases] == ["base", lever]
    assert history.generations[0].arm == lever
    reasons = show_json(history, made.store)["generations"][0]["arm_reasons"]
    assert f"the run pulls the {lever} lever alone" in reasons["both"]


def test_an_endpoint_that_takes_no_adapters_runs_harness_only_and_says_so(tmp_path: Path) -> None:
    made = world(
        tmp_path, sections={"run": {"generations": 1}, "model": {"url": "http://x/v1", "name": "big"}}
    )
    history = made.run()
    assert history.first is not None
    assert history.first.base == "endpoint:big"
    shown = show_json(history, made.store)["generations"][0]
    assert "harness-only" in shown["arm_reasons"]["weights"]
    assert shown["gate"]["decision"] == "promoted"


def test_a_lost_screen_rejects_and_is_never_a_zero_score(tmp_path: Path) -> None:
    made = world(tmp_path, lose=lambda event: event.purpose == "screen", sections={"run": {"generations": 1}})
    history = made.run()
    assert history.generations[0].decision == "rejected"
    assert "the endpoint was away" in history.generations[0].why
    arms = show_json(history, made.store)["generations"][0]["arms"]
    assert arms["base"] is None


def test_lost_train_shards_leave_nothing_to_propose_and_hang_nothing(tmp_path: Path) -> None:
    made = world(tmp_path, lose=lambda event: event.purpose == "train", sections={"run": {"generations": 1}})
    history = made.run()
    assert history.state == "done"
    assert "all train shards were lost" in history.generations[0].why


def test_an_evaluation_on_request_scores_one_release_and_nothing_else(tmp_path: Path) -> None:
    made = world(tmp_path)
    instances = put_json(made.store, [{"id": "mine-1"}, {"id": "mine-2"}])
    request = e.EvaluationRequested(run_id=RUN, config=made.config_digest, release=None, instances=instances)
    history = made.run(request)
    assert purposes(made.opened) == ["eval"]
    result = get_json(made.store, history.test or "")
    assert result["n"] == 2
    assert [row["id"] for row in result["instances"]] == ["mine-1", "mine-2"]
    assert result["low"] <= result["mean"] <= result["high"]


def test_an_evaluation_of_a_given_release_needs_no_base(tmp_path: Path) -> None:
    made = world(tmp_path)
    folder = tmp_path / "task" / "harness"
    files = {name: (folder / name).read_bytes() for name in ("harness.toml", "scaffold.py")}
    release = Release(base="b" * 64, harness=put_bundle(made.store, files), adapter="a" * 64)
    instances = put_json(made.store, [{"id": "mine-1"}, {"id": "mine-2"}])
    made.run(
        e.EvaluationRequested(run_id=RUN, config=made.config_digest, release=release, instances=instances)
    )
    assert [event.releases[0].release for event in made.opened] == [release]


FEW = """
def draw(split, count, seed):
    import random
    if split != "gate":
        return [{"id": f"{split}-{seed}-{i}"} for i in range(count)]
    return random.Random(seed).sample([{"id": f"gate-{i}"} for i in range(40)], min(count, 40))
"""


@pytest.mark.slow
def test_a_gate_instance_serves_once_a_run_and_when_none_is_left_nothing_more_is_promoted(
    tmp_path: Path,
) -> None:
    gate = GATE | {"max_pairs": 24}
    made = world(tmp_path, sections={"run": {"generations": 6}, "gate": gate}, spread=0.3)
    (tmp_path / "task" / "verifier.py").write_text(FEW)
    history = made.run()
    gates = [event for event in made.opened if event.purpose in ("screen", "confirm")]
    met = [instance["id"] for event in gates for instance in get_json(made.store, event.instances)]
    assert len(met) == len(set(met)) == 40
    assert (history.state, len(history.generations)) == ("done", 6)
    last = history.generations[-1]
    assert last.decision == "rejected"
    assert "the gate split is exhausted" in last.why


@pytest.mark.slow
def test_a_patch_that_did_not_help_the_old_weights_is_tried_on_the_new_ones_and_only_once(
    tmp_path: Path,
) -> None:
    sections = {"run": {"generations": 3}, "gate": GATE}
    made = world(tmp_path, sections=sections, gain=lambda harness, adapter: 0.3 * adapter - 0.2 * harness)
    history = made.run()
    assert [generation.arm for generation in history.generations] == ["weights", "", ""]
    reasons = [generation.harness.reason for generation in history.generations if generation.harness]
    assert ["pin shape to round" in reason for reason in reasons] == [True, True, False]


def test_an_arm_that_the_endpoint_does_not_serve_is_null_and_the_others_are_compared(tmp_path: Path) -> None:
    made = world(tmp_path, unserved={"weights": "rank 8 is too high", "both": "rank 8 is too high"})
    history = made.run()
    shown = show_json(history, made.store)["generations"][0]
    assert history.generations[0].arm == "harness"
    assert (shown["arms"]["weights"], shown["arms"]["both"]) == (None, None)
    assert shown["arm_reasons"]["weights"] == "rank 8 is too high"
    assert shown["arms"]["base"]["n"] == 6


def test_a_gain_that_is_waited_for_too_long_is_not_promoted(tmp_path: Path) -> None:
    slow = {"base": 1.0, "harness": 3.0, "weights": 3.0, "both": 3.0}
    sections = {"run": {"generations": 1}, "gate": GATE | {"max_latency_ratio": 2}}
    made = World(tmp_path / "toy", sections, waits_s=slow)
    history = made.run()
    shown = show_json(history, made.store)["generations"][0]["gate"]
    assert shown["decision"] == "rejected"
    assert "the gain is real, but seconds waited for the model an attempt, times base's: 3" in shown["why"]
    assert shown["evidence"]["waited_s"] == {"base": 1.0, shown["evidence"]["chosen"]: 3.0}
