"""The claim "not worse by more than a margin, with less prompt text": which arm is picked for it, what
decides it, and how often it promotes what is worse by exactly the margin."""

import math

import numpy as np
import pytest

from benchmarks.gate.worlds import NO_WORSE, answers, normal, worse_by
from ratchet.runs.request import resolve_config
from shared.config.settings import GateSection
from shared.decisions.arms import Paired
from shared.decisions.evidence.betting import e_value
from shared.decisions.evidence.claims import Terms
from shared.decisions.evidence.discordant import outcome, walk
from shared.decisions.evidence.graded import passed_in
from shared.decisions.evidence.power import foreseen, foreseen_text, power
from shared.decisions.gate import confirmed, decide, pick, screened
from shared.decisions.rails import measure
from shared.decisions.settling import Settled
from shared.errors import SettingsError
from shared.messages.evidence import GateRecord
from shared.messages.records import AttemptState, Sample
from shared.tasks.task import ScoreSection, load_task
from tests.unit.feedback.attempts import attempt

BOUNDS = ScoreSection(low=0.0, high=1.0)
ALPHA, MARGIN = 0.0273, 0.05
GATE = GateSection(max_pairs=96)
EVEN = [0.02, -0.02] * 48


def paired(**means: float) -> Paired:
    return Paired(("i", "j"), {arm: (mean, mean) for arm, mean in means.items()})


def screen(**means: float) -> GateRecord:
    return screened(paired(**means), {}, BOUNDS, MARGIN)


def test_the_screen_takes_an_arm_that_loses_less_than_the_margin_unless_another_leads_it_by_that() -> None:
    assert pick(paired(base=0.5, harness=0.46, weights=0.49), MARGIN) == "harness"
    assert pick(paired(base=0.5, harness=0.44), MARGIN) == "base"
    assert pick(paired(base=0.5, harness=0.5, weights=0.56), MARGIN) == "weights"
    assert pick(paired(base=0.5, harness=0.46), 0.0) == "base"


def test_only_the_arm_with_less_text_is_judged_by_the_margin() -> None:
    assert screen(base=0.5, harness=0.49).min_effect == -MARGIN
    record = confirmed(screen(base=0.5, harness=0.5, weights=0.6), EVEN[:12], ALPHA, GATE)
    assert (record.chosen, record.min_effect) == ("weights", GATE.min_effect)


def test_a_screen_without_a_margin_is_stored_to_the_byte_as_before() -> None:
    record = screened(paired(base=0.5, harness=0.6), {}, BOUNDS)
    assert '"min_effect":0.0,' in record.model_dump_json()


def test_an_equal_arm_is_promoted_and_the_sentence_says_what_was_claimed() -> None:
    verdict = decide(confirmed(screen(base=0.5, harness=0.5), EVEN, ALPHA, GATE))
    assert verdict.decision == "promoted"
    assert "claimed: not worse by more than 0.05, with less prompt text" in verdict.why
    as_a_gain = decide(confirmed(GateRecord(chosen="harness"), EVEN, ALPHA, GATE))
    assert as_a_gain.decision == "rejected"


def test_a_loss_as_large_as_the_margin_ends_it_early() -> None:
    verdict = decide(confirmed(screen(base=0.5, harness=0.5), [-0.05, -0.06, -0.07] * 4, ALPHA, GATE))
    assert verdict.decision == "rejected"
    assert "not below the margin of 0.05" in verdict.why


def made(arm: str, prompt: int, reply: int) -> list[AttemptState]:
    """Eight attempts with so many tokens."""
    sample = Sample(text="x", prompt_ids=(1,) * prompt, token_ids=(1,) * reply)
    plain = [attempt(f"i{n}", 0.5, arm=arm) for n in range(8)]
    turns = [one.turns[0].model_copy(update={"replies": (sample,)}) for one in plain]
    return [one.model_copy(update={"turns": (turn,)}) for one, turn in zip(plain, turns, strict=True)]


@pytest.mark.parametrize(
    ("prompt", "reply", "decision"), [(90, 10, "promoted"), (98, 10, "rejected"), (50, 12, "rejected")]
)
def test_the_saving_has_to_be_there_and_longer_replies_may_not_eat_it_up(
    prompt: int, reply: int, decision: str
) -> None:
    attempts = made("base", 100, 10) + made("harness", prompt, reply)
    settled = [Settled((0.0,) * 8, (), (), 0, {"base": 0, "harness": 0})]
    rails = measure(GATE, settled, attempts, "harness", shorter=True)
    record = confirmed(screen(base=0.5, harness=0.5), EVEN, ALPHA, GATE, measured=rails)
    assert decide(record).decision == decision


def test_where_the_endpoint_tells_no_token_ids_characters_are_counted() -> None:
    def asked(arm: str, content: str) -> list[AttemptState]:
        ask = {"ask": [{"messages": [{"role": "user", "content": content}], "n": 2}]}
        (one,) = made(arm, 0, 1)[:1]
        return [one.model_copy(update={"turns": (one.turns[0].model_copy(update={"action": ask}),)})]

    settled = [Settled((0.0,), (), (), 0, {"base": 0, "harness": 0})]
    attempts = asked("base", "x" * 400) + asked("harness", "x" * 100)
    rails = measure(GATE, settled, attempts, "harness", shorter=True)
    assert {rail.name: rail.measured for rail in rails}["prompt tokens an attempt, times base's"] == 0.25


@pytest.mark.parametrize("name", [*worse_by(0.05)])
def test_an_arm_that_is_worse_by_exactly_the_margin_keeps_alpha_with_a_look_after_every_pair(
    name: str,
) -> None:
    runs = worse_by(MARGIN)[name](np.random.default_rng(0), 2000, 96)
    assert runs.mean() == pytest.approx(-MARGIN, abs=0.004)
    assert passed_in(runs, ALPHA, -MARGIN)[:, -1].mean() <= ALPHA + 3 * math.sqrt(ALPHA / 2000)


def test_an_equal_arm_is_found_four_times_in_five() -> None:
    runs = NO_WORSE["equal, spread 0.1"](np.random.default_rng(0), 1000, 96)
    found = passed_in(runs, ALPHA, -MARGIN)[:, -1].mean()
    assert found >= 0.8
    assert power("graded", 0.0, 0.1, Terms(ALPHA, -MARGIN, 1.0, 96)) == pytest.approx(found, abs=0.05)


def test_rare_great_losses_that_have_not_shown_count_against_the_margin_too() -> None:
    # no loss in 48 pairs has probability (1 - 0.05)^48 = 0.085 where the arm loses all in 5 %: above alpha
    assert not passed_in(np.zeros((1, 48)), ALPHA, -MARGIN)[0, -1]
    assert passed_in(np.zeros((1, 96)), ALPHA, -MARGIN)[0, -1]  # 0.95^96 = 0.007


def test_for_right_or_wrong_scores_a_margin_wins_pairs_by_lot() -> None:
    # 0.1 / 1.1 of the pairs are won by lot: a loss of 0.1 is then even, and a tie won at that rate
    assert np.mean([outcome(pair, 0.0, -0.1) for pair in range(4000)]) == pytest.approx(0.0909, abs=0.02)
    lost = np.random.default_rng(0).random(4000) < 0.1
    drawn = [outcome(pair, -float(loss), -0.1) for pair, loss in enumerate(lost)]
    assert np.mean(drawn) == pytest.approx(0.0, abs=0.02)


def test_for_right_or_wrong_scores_alpha_holds_at_the_margin() -> None:
    runs = answers(-0.1)(np.random.default_rng(0), 1000, 48)
    drawn = np.array([[outcome(pair, share, -0.1) for pair, share in enumerate(row)] for row in runs])
    assert walk(drawn, 0.1, 48)[1][:, -1].mean() <= 0.1 + 3 * math.sqrt(0.1 / 1000)


def test_the_bets_against_a_margin_are_even_at_the_margin() -> None:
    assert e_value([-MARGIN] * 40, 1.0, -MARGIN) == pytest.approx(1.0)
    # one pair without a change: 1 + stake * 0.05 / 0.95, over the three gamblers
    by_hand = sum(part * (1 + stake * 0.05 / 0.95) for stake, part in ((0.99, 0.8), (0.5, 0.1), (0.15, 0.1)))
    assert e_value([0.0], 1.0, -MARGIN) == pytest.approx(by_hand)


def test_a_difference_outside_its_bounds_is_refused_with_a_margin_too() -> None:
    with pytest.raises(ValueError, match="outside"):
        passed_in(np.full((1, 12), 1.02), ALPHA, -MARGIN)
    assert passed_in(normal(0.9, 0.05)(np.random.default_rng(0), 1, 48), ALPHA, -MARGIN)[0, -1]


def test_a_run_is_told_beforehand_how_many_pairs_its_margin_needs() -> None:
    config = resolve_config("intents", None, ["gate.no_worse_margin=0.1"], None)
    foresight = foreseen(config, load_task("intents"), measured=0.3)
    assert foresight["less_prompt_text"]["pairs"] > 48
    assert "less prompt text, no worse by more than 0.1, needs" in foreseen_text(foresight)


def test_a_margin_of_most_of_the_score_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"no_worse_margin is 0\.7, and the whole score has 1"):
        resolve_config("intents", None, ["gate.no_worse_margin=0.7"], None)
