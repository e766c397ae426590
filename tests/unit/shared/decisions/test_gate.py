"""Screen, confirmation, futility and pairing: decisions from evidence alone."""

from statistics import NormalDist

import pytest

from shared.config.settings import GateSection
from shared.decisions.arms import pair
from shared.decisions.evidence.claims import CLAIMS
from shared.decisions.gate import confirmed, decide, futile, screened
from shared.decisions.intervals import t_interval
from shared.errors import TaskError
from shared.messages.evidence import GateRecord
from shared.messages.records import ShardState
from shared.tasks.task import ScoreSection
from tests.unit.feedback.attempts import attempt, compared, shard

BOUNDS = ScoreSection(low=0.0, high=1.0)
EVEN_NORMAL = [NormalDist().inv_cdf((i * 37 % 48 + 0.5) / 48) for i in range(48)]  # mean 0, spread 1, mixed


def paired_means(**means: float):  # type: ignore[no-untyped-def]
    scores = {arm: {f"i{n}": mean for n in range(4)} for arm, mean in means.items()}
    return pair([compared(scores)], list(means), [{"id": f"i{n}"} for n in range(4)], BOUNDS)


def record_of(
    differences: list[float], *, alpha: float = 0.05, most: int = 24, test: str = "betting", lost: int = 0
) -> GateRecord:
    screen = screened(paired_means(base=0.3, harness=0.5), {}, BOUNDS)
    gate = GateSection(test=test, max_pairs=most)  # type: ignore[arg-type]
    return confirmed(screen, differences, alpha, gate, lost_pairs=lost)


def test_an_interval_is_student_s() -> None:
    # mean 0.4, sd 0.1 (n - 1), t(0.975, 2) = 4.30265
    interval = t_interval([0.3, 0.4, 0.5], 0.0, 1.0)
    half = 4.30265 * 0.1 / 3**0.5
    assert (interval.mean, interval.n) == (pytest.approx(0.4), 3)
    assert interval.low == pytest.approx(0.4 - half, abs=1e-5)
    assert interval.high == pytest.approx(0.4 + half, abs=1e-5)


def test_one_value_says_nothing_about_spread() -> None:
    interval = t_interval([0.4], 0.0, 1.0)
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_seeds_are_averaged_within_an_instance() -> None:
    states = [
        shard([attempt("i", 0.2, arm="base", seed=1), attempt("i", 0.6, arm="base", seed=2)]),
        shard([attempt("i", 0.5, arm="harness", seed=1), attempt("i", 0.7, arm="harness", seed=2)]),
    ]
    paired = pair(states, ["base", "harness"], [{"id": "i"}], BOUNDS)
    assert paired.scores == {"base": (pytest.approx(0.4),), "harness": (pytest.approx(0.6),)}
    assert paired.differences("harness") == (pytest.approx(0.2),)


def test_an_instance_that_one_arm_lost_is_left_out_of_all_and_said() -> None:
    state = compared(
        {"base": {"i1": 0.5, "i2": 0.5, "i3": 0.5}, "harness": {"i1": 0.6, "i2": None, "i3": 0.4}}
    )
    paired = pair([state], ["base", "harness"], [{"id": f"i{n}"} for n in (1, 2, 3)], BOUNDS, ["shard lost"])
    assert paired.instances == ("i1", "i3")
    assert paired.lost == "1 of 3 instances left out of every arm (shard lost)"


def test_a_scaffold_that_broke_counts_the_lowest_score_a_missing_clock_counts_nothing() -> None:
    broken = shard([attempt("i", None, arm="base", error="the scaffold looped")])
    assert pair([broken], ["base"], [{"id": "i"}], BOUNDS).scores["base"] == (0.0,)
    untimed = shard([attempt("i", 0.0, arm="base", outcome="not_timed")])
    assert pair([untimed], ["base"], [{"id": "i"}], BOUNDS).scores["base"] == ()


def test_a_score_outside_the_task_s_bounds_is_the_verifier_s_fault() -> None:
    state: ShardState = shard([attempt("i", 1.2, arm="base")])
    with pytest.raises(TaskError, match="outside"):
        pair([state], ["base"], [{"id": "i"}], BOUNDS)


def test_consistent_gains_are_promoted_and_the_sentence_says_how_sure() -> None:
    verdict = decide(record_of([0.3] * 16))
    assert verdict.decision == "promoted"
    assert "gain +0.300" in verdict.why
    assert "16 fresh instances" in verdict.why


def test_a_promising_start_asks_for_another_round() -> None:
    assert decide(record_of([0.2, 0.3, 0.1, 0.2, 0.25, 0.2])).decision == "undecided"


@pytest.mark.parametrize(
    ("differences", "why"),
    [
        ([0.1, -0.1, 0.0, 0.0, 0.02, -0.02], "not above the minimum effect"),
        ([0.05] * 12, "out of reach"),
        ([0.05] * 24, "within 24 pairs"),
        ([0.9], "only 1 pairs"),
    ],
)
def test_pairs_that_would_be_wasted_are_not_bought(differences: list[float], why: str) -> None:
    verdict = decide(record_of(differences))
    assert verdict.decision == "rejected"
    assert why in verdict.why


def test_hope_is_given_up_only_when_the_rest_could_not_save_it() -> None:
    assert futile(record_of([0.15, 0.2, 0.1, 0.15, 0.2, 0.1], most=36)) == ""
    assert "out of reach" in futile(record_of([0.15, 0.2, 0.1, 0.15, 0.2, 0.1], most=12))


def test_too_few_instances_in_the_screen_reject() -> None:
    paired = pair(
        [compared({"base": {"i": 0.1}, "both": {"i": 0.9}})], ["base", "both"], [{"id": "i"}], BOUNDS
    )
    verdict = decide(screened(paired, {}, BOUNDS))
    assert verdict.decision == "rejected"
    assert "too few" in verdict.why


def test_the_decision_recomputes_from_the_stored_record() -> None:
    record = record_of([0.3, 0.2, 0.4] * 5)
    again = GateRecord.model_validate_json(record.model_dump_json())
    assert decide(again) == decide(record)


def test_a_stated_e_value_changes_no_decision() -> None:
    forged = record_of([0.0, 0.05] * 6).model_copy(update={"e_value": 1e9})
    assert decide(forged).decision == "rejected"


@pytest.mark.parametrize("test", list(CLAIMS))
def test_the_one_sentence_says_what_the_test_assumes(test: str) -> None:
    verdict = decide(record_of([0.3, 0.2, 0.4] * 8, test=test))
    assert verdict.decision == "promoted"
    assert test == "betting" or (f"test {test}" in verdict.why and "assumes" in verdict.why)


def test_a_record_that_names_no_test_is_decided_by_the_bets_that_decided_it() -> None:
    old = record_of([0.15] * 12, most=48).model_dump(mode="json")
    del old["test"], old["lost_pairs"]
    again = GateRecord.model_validate(old)
    wealth = 0.8 * (1 + 0.99 * 0.14 / 1.01) ** 12 + 0.1 * (1 + 0.5 * 0.14 / 1.01) ** 12
    wealth += 0.1 * (1 + 0.15 * 0.14 / 1.01) ** 12
    assert f"e-value {wealth:.3g}" in decide(again).why
    assert "assumes" not in decide(again).why


def test_gains_with_little_spread_are_found_that_bets_on_the_bound_miss() -> None:
    gains = [0.076 + 0.1 * z for z in EVEN_NORMAL]
    assert decide(record_of(gains, alpha=0.0273, most=48, test="graded")).decision == "promoted"
    assert decide(record_of(gains, alpha=0.0273, most=48)).decision == "rejected"


def test_a_tiny_gain_without_any_spread_proves_nothing_about_losses_not_yet_seen() -> None:
    verdict = decide(record_of([0.05] * 48, alpha=0.0273, most=48, test="graded"))
    assert verdict.decision == "rejected"
    assert "unseen losses" in verdict.why


def test_a_confirmation_with_many_lost_pairs_is_unproven_however_good_the_rest() -> None:
    assert decide(record_of([0.3, 0.2, 0.4] * 7, lost=1, test="graded")).decision == "promoted"
    verdict = decide(record_of([0.3, 0.2, 0.4] * 7, lost=3, test="graded"))
    assert verdict.decision == "rejected"
    assert "unproven: 3 of 24 pairs were lost" in verdict.why
