"""Every objective moves a policy to the optimum of a small task: words of three letters, spelled by chance at
first. Real models, real training, in this process.
"""

import math
import statistics
from contextlib import suppress

import pytest

from shared.errors import TrainingError
from tests.parts.slow import one_in
from tests.parts.spelling import LETTERS, WORDS, mean_reward, share_of_right_letters
from trainer_service.algorithms import ALGORITHMS

CHANCE = 1 / 12  # measured: the random model is not uniform over its fifteen tokens


def learn(
    speller, folder, algorithm, *, updates, seed=0, count=24, reward=share_of_right_letters, **settings
):
    """What the policy earns after each of some updates, each on replies of the policy before."""
    adapter, earned = None, []
    for number in range(updates):
        samples = speller.sample(adapter, count, 100 * seed + number, reward)
        place = folder / f"{algorithm}-{seed}-{number}"
        with suppress(TrainingError):  # all replies earn the same: then the policy stays, as in a run
            speller.update(place, samples, adapter, algorithm=algorithm, seed=seed, **settings)
            adapter = place / "adapter"
        earned.append(mean_reward(speller.sample(adapter, 64, 10_000 + seed, reward)))
    return earned


@pytest.mark.parametrize("algorithm", one_in(2, sorted(ALGORITHMS)))
def test_one_update_moves_the_policy_towards_the_optimum(speller, tmp_path, algorithm):
    before = mean_reward(speller.sample(None, 64, 10_000))
    (after,) = learn(speller, tmp_path, algorithm, updates=1)
    assert after > before + 0.05


def test_an_update_tells_its_curves_and_what_it_measured(speller, tmp_path):
    samples = speller.sample(None, 8, 0)
    result = speller.update(tmp_path / "one", samples, algorithm="grpo", steps=5)
    assert set(result.curves) == {"loss", "kl", "entropy", "reward", "length", "norm"}
    assert all(len(series) == 5 for series in result.curves.values())
    assert result.curves["kl"][0] == pytest.approx(0.0, abs=1e-6) != result.curves["kl"][-1]
    assert result.curves["length"] == (3.0,) * 5
    assert 0 < result.curves["entropy"][0] <= math.log(15)
    assert result.metrics["serving_tokens"] == 3 * result.metrics["samples"]
    assert result.metrics["serving_gap"] < 1e-4  # the same policy, read by the same kernels


@pytest.mark.parametrize("algorithm", ["reinforce", "grpo", "entropic"])
def test_the_unit_of_the_score_changes_nothing_but_rounding(speller, tmp_path, algorithm):
    """Rewards a tenth as large: the advantages and the penalty that holds the policy to its base shrink
    alike, and Adam divides by the gradient's size."""
    samples = speller.sample(None, 8, 0)
    smaller = [sample.model_copy(update={"reward": sample.reward / 10}) for sample in samples]
    plain, small = (
        speller.update(tmp_path / name, given, algorithm=algorithm, steps=6, kl_weight=0.5)
        for name, given in (("plain", samples), ("small", smaller))
    )

    assert plain.curves["kl"][-1] > 0.1
    assert small.curves["kl"] == pytest.approx(plain.curves["kl"], rel=0.02, abs=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_supervised_beats_all_where_labels_exist(speller, tmp_path):
    """Five seeds, two updates on 96 samples or labels each: the lowest supervised result is above the highest
    of the others."""
    earned = {
        algorithm: [learn(speller, tmp_path, algorithm, updates=2, seed=seed)[-1] for seed in range(5)]
        for algorithm in sorted(ALGORITHMS)
    }
    print(in_words(earned))
    supervised = earned.pop("supervised")
    assert min(supervised) > max(map(max, earned.values()))
    for results in earned.values():
        error = statistics.stdev(results) / math.sqrt(len(results))
        assert statistics.fmean(results) - 2 * error > CHANCE


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_entropic_beats_plain_expected_reward_where_rewards_are_right_skewed(speller, tmp_path):
    """The word's first letter earns 1, every second letter of the alphabet 0.3, the rest nothing: about one
    reply in twelve is outstanding, three are good. Sixteen seeds, paired: with five the sign is chance."""

    def skewed(colour, letters):
        return 1.0 if letters[0] == WORDS[colour][0] else 0.3 * (letters[0] in LETTERS[::2])

    earned = {
        algorithm: [
            learn(speller, tmp_path, algorithm, updates=2, seed=seed, reward=skewed, kl_weight=0.0)[-1]
            for seed in range(16)
        ]
        for algorithm in ("entropic", "reinforce")
    }
    print(in_words(earned))
    gains = [a - b for a, b in zip(earned["entropic"], earned["reinforce"], strict=True)]
    assert statistics.fmean(gains) - statistics.stdev(gains) / math.sqrt(len(gains)) > 0


def in_words(earned):
    """Means with their standard errors."""
    return {
        name: f"{statistics.fmean(r):.3f} +- {statistics.stdev(r) / math.sqrt(len(r)):.3f}"
        for name, r in earned.items()
    }
