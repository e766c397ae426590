"""Comparisons on numbers worked out by hand: pairs by seed and instance, Holm's correction, arms in turn."""

from dataclasses import replace

import pytest
from scipy import stats

from ratchet.compare.arms import read_arms
from ratchet.compare.results import as_in_one_test, compared_pairs, holm, t_test
from ratchet.compare.study import Study, _demand_done, _folder, _settle, config_of, order
from ratchet.runs import folder as folders
from ratchet.runs.request import RunRequest, resolve_config
from shared.config.settings import BudgetSection
from shared.errors import RatchetError, SettingsError
from shared.messages.events import RunFinished


def test_arms_are_paired_by_seed_and_by_the_instances_that_both_scored() -> None:
    sealed = {
        "base": {0: {"a": 0.1, "b": 0.2}, 1: {"a": 0.3, "b": 0.3}},
        "both": {0: {"a": 0.3, "b": 0.6, "c": 1.0}, 1: {"a": 0.5, "b": 0.3}, 2: {"a": 1.0}},
    }
    (row,) = compared_pairs(sealed)
    assert (row["arm"], row["minus"]) == ("both", "base")
    assert row["by_seed"] == pytest.approx([0.3, 0.1])  # (0.2 + 0.4) / 2; (0.2 + 0) / 2; seed 2 has no pair
    assert row["difference"]["mean"] == pytest.approx(0.2)
    assert row["p"] == pytest.approx(stats.ttest_rel([0.3, 0.1], [0.0, 0.0]).pvalue)


def test_where_scores_are_times_each_run_is_compared_through_the_first_release_that_it_scored_too() -> None:
    """By hand: the machine was busier in the second run, which lost 0.2 everywhere; both gained 0.1."""
    firsts = {"harness": {0: {"a": 0.5, "b": 0.7}}, "both": {0: {"a": 0.3, "b": 0.5}}}
    sealed = {
        "harness": {0: {"a": 0.6, "b": 0.8}},
        "both": {0: {"a": 0.4, "b": 0.6}},
        "optuna": {0: {"a": 0.9}},
    }

    plain, moved = (as_in_one_test(sealed, firsts, timed) for timed in (False, True))

    assert plain["base"][0] == moved["base"][0] == pytest.approx({"a": 0.4, "b": 0.6})
    assert plain["both"] == sealed["both"]
    assert moved["harness"][0] == pytest.approx({"a": 0.5, "b": 0.7})
    assert moved["both"][0] == pytest.approx({"a": 0.5, "b": 0.7})
    assert moved["optuna"] == sealed["optuna"]


@pytest.mark.parametrize(
    ("budget", "levers", "most"), [(640, "both", 3), (640, "harness", 4), (1000, "both", 5)]
)
def test_no_more_generations_are_announced_than_the_budget_holds(budget, levers, most, tmp_path) -> None:
    """By hand: 96 train evaluations, 16 an arm of the screen, 96 at the end, no confirmation."""
    config = resolve_config("trimul", None, [], None)
    study = Study(config, read_arms([levers]), 1, BudgetSection(evaluations=budget), tmp_path)
    assert config_of(study, study.arms[0], 0).run.generations == most


def test_what_a_generation_may_do_without_is_not_counted_in_the_generations_announced(tmp_path) -> None:
    """By hand: of intents 32 train attempts, 128 of a design, 32 of a screen, 160 at the end; of denoising
    36, 16 and 24, or where an attempt may try a candidate 36 of two evaluations each, 16 and 48."""
    wanted = (
        ("intents", [], 520, 5),
        ("denoising", [], 300, 5),
        ("denoising", ["attempt.candidates=1"], 300, 4),
    )
    for task, settings, budget, most in wanted:
        config = resolve_config(task, None, settings, None)
        study = Study(config, read_arms(["harness"]), 1, BudgetSection(evaluations=budget), tmp_path)
        assert config_of(study, study.arms[0], 0).run.generations == most


def test_one_seed_gives_a_difference_and_no_claim() -> None:
    (row,) = compared_pairs({"base": {0: {"a": 0.0}}, "both": {0: {"a": 1.0}}})
    assert row["difference"] == {"mean": 1.0, "low": None, "high": None, "n": 1}
    assert row["p"] is None
    assert "p_holm" not in row


@pytest.mark.parametrize(
    ("differences", "p"), [([0.0, 0.0, 0.0], 1.0), ([0.1, 0.1, 0.1], None), ([0.1], None)]
)
def test_equal_differences_are_no_evidence(differences: list[float], p: float | None) -> None:
    assert t_test(differences) == p


def test_holms_correction_is_that_of_his_paper() -> None:
    # sorted .01 .02 .03 .04 times 4 3 2 1, and never below the one before
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


def test_every_arm_runs_each_seed_and_the_order_turns() -> None:
    arms = read_arms(["base", "harness", "weights", "both"])
    turns = list(order(arms, 3))
    assert len(turns) == len({(arm.name, seed) for arm, seed in turns}) == 9
    assert [arm.name for arm, seed in turns if seed == 1] == ["weights", "both", "harness"]


def test_runs_of_a_study_differ_in_arm_and_seed_alone(tmp_path) -> None:
    study = Study(
        resolve_config("trimul", None, [], None),
        read_arms(["harness", "both"]),
        2,
        BudgetSection(evaluations=330),
        tmp_path,
    )
    one, other = config_of(study, study.arms[0], 1), config_of(study, study.arms[1], 1)
    assert (one.budget.evaluations, one.run.seed, one.run.levers) == (330, 1, "harness")
    assert other == one.model_copy(update={"run": one.run.model_copy(update={"levers": "both"})})


@pytest.mark.parametrize(
    "names", [["base"], ["both", "both"], ["brain"], ["none.toml"], ["base", "optuna", "best-of-n"]]
)
def test_arms_that_make_no_comparison_are_named(names: list[str]) -> None:
    with pytest.raises(SettingsError, match=r"arm|base is scored by runs"):
        read_arms(names)


def test_the_first_release_is_no_arm_where_no_run_scored_it() -> None:
    sealed = {"optuna": {0: {"a": 0.9}}, "random": {0: {"a": 0.5}}}
    assert as_in_one_test(sealed, {}, timed=True) == sealed


def test_a_file_of_settings_is_an_arm_and_never_taken_for_one_of_ratchets_own(tmp_path) -> None:
    for name in ("slow", "random"):
        (tmp_path / f"{name}.toml").write_text("[training]\nsteps = 7\n")
    harness, own = read_arms(["harness", f" {tmp_path / 'slow.toml'}"])
    assert (harness.name, own.name, own.layer) == ("harness", "slow", {"training": {"steps": 7}})
    with pytest.raises(SettingsError, match=r"random\.toml would be taken for the arm 'random'"):
        read_arms([str(tmp_path / "random.toml")])


def test_a_comparison_goes_on_only_under_the_same_settings(tmp_path) -> None:
    study = Study(
        resolve_config("trimul", None, [], None),
        read_arms(["harness"]),
        1,
        BudgetSection(evaluations=330),
        tmp_path / "study",
    )
    _settle(study)
    _settle(replace(study, seeds=3))
    _settle(replace(study, arms=read_arms(["both"])))
    _settle(study)  # what was there before is still known
    with pytest.raises(SettingsError, match="other settings"):
        _settle(replace(study, budget=BudgetSection(evaluations=501)))


@pytest.mark.parametrize(
    ("state", "counts"), [("done", True), ("budget", True), ("failed", False), ("stopped", False)]
)
def test_a_run_that_failed_or_was_stopped_ends_the_comparison_with_its_reason(
    state, counts, tmp_path
) -> None:
    config = resolve_config("trimul", None, [], None)
    folder = folders.create(RunRequest(config, "trimul", tmp_path, "both-seed0"))
    ledger = folder.open_ledger()
    ledger.create_schema()
    ledger.create_run(folder.run_id)
    ledger.submit([RunFinished(run_id=folder.run_id, state=state, why="two instances share an id")])
    if counts:
        _demand_done(folder)
        return
    with pytest.raises(RatchetError, match=f"ended as {state}: two instances share an id") as caught:
        _demand_done(folder)
    hint = "remove the cause" if state == "failed" else f"move {folder.path} away"  # nothing continues it
    assert caught.value.hint.startswith(hint)


def test_a_run_whose_creation_was_cut_off_is_created_again_and_nothing_else_is_dropped(tmp_path) -> None:
    config = resolve_config("trimul", None, [], None)
    study = Study(config, read_arms(["both"]), 1, BudgetSection(evaluations=330), tmp_path)
    (tmp_path / "both-seed0").mkdir()
    (tmp_path / "both-seed0" / "config.json").write_text("{")  # killed while it wrote
    assert _folder(study, "both-seed0", config).config() == config
    (tmp_path / "both-seed1").mkdir()
    (tmp_path / "both-seed1" / "notes.md").write_text("mine")
    with pytest.raises(SettingsError, match="exists"):
        _folder(study, "both-seed1", config)
