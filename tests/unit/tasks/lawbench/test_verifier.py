"""LawBench's verifier: names in normal form, set-F1, the published scorer with its defects, bad answers."""

import pytest

from tests.unit.tasks.lawbench import parts as lawbench

charges = lawbench.load("charges.py")
verifier = lawbench.load("verifier.py")
THEFT = verifier.CASES["test"][0]
DRUGS = "走私、贩卖、运输、制造毒品"


def score(text, case=THEFT):
    return verifier.score(verifier.public(case), text)


@pytest.mark.parametrize(
    "written",
    [
        "[走私、贩卖、运输、制造]毒品",
        " 走私、贩卖、运输、制造 毒品",
        "走私、贩卖、运输、制造毒品罪",
        "［走私、贩卖、运输、制造］毒品",
    ],
)
def test_a_charge_is_the_same_whatever_its_brackets_width_and_spaces(written):
    assert charges.normal(written) == DRUGS


def test_every_label_is_in_normal_form_and_none_equals_another():
    labels = charges.default_labels()
    assert len({charges.normal(label) for label in labels}) == len(labels) == 191
    assert [charges.normal(label) for label in labels] == labels
    assert len(charges.official_options()) == 189


def test_set_f1_against_values_worked_out_by_hand():
    assert charges.set_f1(["盗窃"], ["盗窃"]) == 1.0
    assert charges.set_f1(["盗窃"], ["盗窃", "抢劫"]) == pytest.approx(2 / 3)  # precision 1, recall 1/2
    assert charges.set_f1(["盗窃", "诈骗", "强奸"], ["盗窃", "抢劫"]) == pytest.approx(2 / 5)
    assert charges.set_f1(["诈骗"], ["盗窃"]) == 0.0
    assert charges.set_f1([], ["盗窃"]) == 0.0


def test_the_published_scorer_keeps_its_defects():
    options = charges.official_options()
    f1, abstained = charges.official_f1("合同诈骗", ["合同诈骗"], options)
    assert (f1, abstained) == (pytest.approx(2 / 3), False)  # 诈骗 is a substring, so it counts as named
    assert charges.official_f1("爆炸", ["爆炸"], options) == (0.0, True)  # a gold charge that is no option
    assert charges.official_f1("我不能判断他是否构成盗窃。", ["盗窃"], options) == (1.0, False)


def test_the_right_charge_scores_one_and_the_wrong_one_zero():
    right = score(THEFT["charges"][0])
    assert (right["score"], right["outcome"], right["metrics"]["accuracy"]) == (1.0, "ok", 1.0)
    wrong = score("伪证")
    assert (wrong["score"], wrong["outcome"]) == (0.0, "wrong")


def test_the_frame_that_lawbench_asks_for_is_taken_off():
    name = THEFT["charges"][0]
    assert score(f"[罪名]{name}<eoa>")["score"] == 1.0
    assert score(f"罪名：{name}；伪证")["score"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "text",
    [
        "我无法协助判断刑事案件的罪名。",
        "被告人的行为已经触犯刑法，应当依法惩处。",
        "外星入侵",
        "\x00" * 5000,
        "A",
    ],
)
def test_prose_a_refusal_or_a_charge_outside_the_list_is_refused_with_the_lowest_score(text):
    scored = score(text)
    assert (scored["score"], scored["outcome"], scored["metrics"]["accuracy"]) == (0.0, "refused", 0.0)


def test_naming_many_charges_does_not_pay():
    everything = ";".join(charges.default_labels())
    assert score(everything)["score"] == pytest.approx(2 / 192)


def test_no_detail_tells_the_right_charge():
    assert THEFT["charges"][0] not in score("伪证")["detail"]


def test_instances_carry_no_charges_and_splits_share_no_case():
    seen = {}
    for split in verifier.SPLITS:
        drawn = verifier.draw(split, 10_000, 3)
        assert all(set(case) == {"id", "fact"} for case in drawn)
        seen[split] = {case["id"] for case in drawn}
        assert len(seen[split]) == len(drawn)
    assert not seen["train"] & seen["gate"]
    assert not (seen["train"] | seen["gate"]) & seen["test"]
    assert {case["id"] for case in lawbench.lines(lawbench.FOLDER / "public" / "cases.jsonl")} <= seen[
        "train"
    ]


def test_a_draw_is_balanced_over_charges_repeats_with_its_seed_and_ends_when_the_split_is_exhausted():
    first = verifier.draw("gate", 10, 1)
    names = [verifier.TRUE[case["id"]][0] for case in first]
    assert len(set(names)) == 10  # ten charges in the shipped cases: one each
    assert verifier.draw("gate", 10, 1) == first
    assert verifier.draw("gate", 10, 2) != first
    assert len(verifier.draw("gate", 1000, 1)) == 20


def test_an_instance_with_unknown_charges_is_refused_before_it_is_evaluated():
    assert "not known" in verifier.check_instance({"id": "strange", "fact": "某人偷了东西"})
    assert verifier.check_instance(verifier.public(THEFT)) == ""


def test_right_answers_are_told_of_train_cases_alone():
    train = verifier.draw("train", 1000, 1)
    assert all(
        score(answer, verifier.CASES["train"][0])["score"] == 1.0
        for answer in verifier.answers(verifier.CASES["train"][0])
    )
    assert all(len(verifier.answers(case)) == 1 for case in train)
    held_back = [*verifier.draw("gate", 1000, 1), *verifier.draw("test", 1000, 1), {"id": "strange"}]
    assert [verifier.answers(case) for case in held_back] == [[]] * len(held_back)
