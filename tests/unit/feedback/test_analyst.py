"""The offline analyst: what it proposes from which evidence, and what it never proposes again."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from feedback_service.propose.analyst import propose_patch, propose_update
from feedback_service.propose.diagnosis import Diagnosis, diagnose
from feedback_service.propose.effects import main_effects
from feedback_service.propose.memory import Memory, PastPatch
from feedback_service.propose.moves import exemplar_moves
from feedback_service.propose.optuna_moves import Measured, ask
from shared.config.settings import TrainingSection
from shared.harness.bundle import apply_patch, bundle_digest, load_harness
from shared.messages.proposals import Edit, Patch
from shared.messages.records import AttemptState
from shared.tasks.task import ScoreSection
from tests.unit.feedback.attempts import attempt, shard

BOUNDS = ScoreSection(low=0.0, high=1.0)
NOTHING = Memory((), ())
TEMPERATURE = '[knobs.temperature]\nkind = "float"\nlow = 0.0\nhigh = 1.0\nvalue = 0.8\n'
PIN = '[knobs.pin_tile]\nkind = "choice"\nchoices = ["free", "8", "16"]\nvalue = "free"\n'
EXEMPLARS = '[knobs.exemplars]\nkind = "int"\nlow = 0\nhigh = 4\nvalue = 0\n'


def harness_files(knobs: str, exemplars: Sequence[object] | None = None) -> dict[str, bytes]:
    files = {"harness.toml": knobs.encode(), "scaffold.py": b"def step(i, h, k, c):\n    return {}\n"}
    return files | ({} if exemplars is None else {"exemplars.json": json.dumps(list(exemplars)).encode()})


def patch_of(
    knobs: str,
    attempts: list[AttemptState],
    memory: Memory = NOTHING,
    state: str = "exploring",
    most_edits: int = 3,
) -> Patch:
    files = harness_files(knobs)
    found = diagnose([shard(attempts)], BOUNDS)
    patch = propose_patch(bundle_digest(files), files, found, memory, 1, state, most_edits)
    assert patch is not None
    apply_patch(files, patch)  # whatever is proposed can be applied
    return patch


def tiles(values: dict[int, float], instances: int = 6) -> list[AttemptState]:
    """Replies {"tile": ...} on several instances, of which the later ones are easier."""
    return [
        attempt(f"i{n}", score + 0.05 * n, reply=json.dumps({"tile": tile, "n": n}), seed=tile)
        for n in range(instances)
        for tile, score in values.items()
    ]


def many(count: int, score: float, outcome: str = "ok", reply: str = "") -> list[AttemptState]:
    made = [(f"i{n}", reply or f"r{n}") for n in range(count)]
    return [attempt(i, score, outcome=outcome, reply=r) for i, r in made]  # type: ignore[arg-type]


def test_the_field_with_the_clearest_effect_is_pinned() -> None:
    patch = patch_of(PIN, tiles({8: 0.2, 16: 0.5, 32: 0.3}))
    assert [(edit.path, edit.new) for edit in patch.edits] == [("pin_tile", "16")]
    assert "6 replies with it scored +0.250" in patch.reason


def test_effects_are_measured_within_instances() -> None:
    effect = main_effects([diagnose([shard(tiles({8: 0.2, 16: 0.5}))], BOUNDS).scored])[0]
    assert (effect.field, effect.value, effect.count, effect.others) == ("tile", 16, 6, 6)
    assert effect.gain == pytest.approx(0.3)
    assert effect.error == pytest.approx(0.0, abs=1e-9)


def test_a_score_is_credited_to_what_ran_and_not_to_what_the_reply_asked_for() -> None:
    asked, cut = json.dumps({"tile": 64}), json.dumps({"tile": 16})
    found = [
        replace(item, reply=asked, content=f"// {cut if item.score > 0.4 else json.dumps({'tile': 8})}\ncode")
        for item in diagnose([shard(many(6, 0.2) + many(6, 0.6, reply="better"))], BOUNDS).scored
    ]
    assert [(effect.field, effect.value) for effect in main_effects([found])] == [("tile", 16)]


def test_an_effect_within_the_noise_is_none() -> None:
    noisy = [attempt(f"i{n}", 0.1 * (n % 5), reply=json.dumps({"tile": 8 + 8 * (n % 2)})) for n in range(20)]
    assert main_effects([diagnose([shard(noisy)], BOUNDS).scored]) == []


def test_a_small_effect_shows_beside_a_great_one_and_a_field_that_only_goes_along_is_none() -> None:
    """Tile adds 0.3, deep 0.06; wide is on where tile is 16 in four replies of five, and adds nothing."""
    attempts = []
    for n in range(40):
        tile, deep, wide = n % 2, n // 2 % 2, (n % 2) if n % 5 else 1 - n % 2
        reply = json.dumps({"tile": 8 + 8 * tile, "deep": deep, "wide": wide})
        attempts.append(attempt("i", 0.2 + 0.3 * tile + 0.06 * deep + 0.01 * (n % 3), reply=reply))
    found = main_effects([diagnose([shard(attempts)], BOUNDS).scored])
    assert [(effect.field, effect.value) for effect in found] == [("tile", 16), ("deep", 1)]
    assert found[1].gain == pytest.approx(0.06, abs=0.02)


def test_generations_add_up_but_an_instance_with_one_value_of_a_field_says_nothing_of_it() -> None:
    """By hand: 0.5 and 0.2 lie 0.15 about their mean in one generation; the other ran 16 alone, and scored
    higher for another reason."""
    varied = diagnose([shard(tiles({8: 0.2, 16: 0.5}))], BOUNDS).scored
    pinned = diagnose([shard(tiles({16: 0.9}))], BOUNDS).scored
    [alone], [pooled] = main_effects([varied]), main_effects([varied, pinned])
    twice = main_effects([varied, varied])[0]
    assert alone == pooled
    assert twice.count == 12
    assert twice.gain == pytest.approx(0.3)


def test_a_field_that_is_pinned_moves_to_a_value_that_is_better_than_that_one_alone() -> None:
    """16 and 32 are alike, and both better than 8: pinned at 16, the field stays; at 8, it moves."""
    scored = diagnose([shard(tiles({8: 0.2, 16: 0.5, 32: 0.5}))], BOUNDS).scored
    assert main_effects([scored], {"tile": ("16",)}) == []
    [found] = main_effects([scored], {"tile": ("8",)})
    assert (found.value, found.count, found.others) == (16, 6, 6)
    assert found.gain == pytest.approx(0.3, abs=0.02)


def test_a_pin_that_no_reply_had_does_not_hide_the_others() -> None:
    patch = patch_of(PIN.replace('"free"\n', '"8"\n'), tiles({16: 0.5, 32: 0.3}))
    assert [(edit.path, edit.new) for edit in patch.edits] == [("pin_tile", "16")]


def test_a_value_that_no_knob_offers_is_left_alone() -> None:
    patch = patch_of(PIN + TEMPERATURE, tiles({8: 0.2, 64: 0.5}))
    assert all(edit.new != "64" for edit in patch.edits)


def test_many_failures_lower_the_temperature() -> None:
    patch = patch_of(TEMPERATURE, many(3, 0.0, "compile_error") + many(5, 0.6))
    assert [(edit.path, edit.new) for edit in patch.edits] == [("temperature", 0.55)]
    assert "compile_error" in patch.reason


def test_replies_that_repeat_raise_it() -> None:
    patch = patch_of(TEMPERATURE, many(8, 0.5, reply="same"))
    assert [(edit.path, edit.new) for edit in patch.edits] == [("temperature", 1.0)]


def test_where_an_attempt_has_one_answer_and_no_trial_repeating_it_does_not_raise_it() -> None:
    answers = [item.model_copy(update={"turns": item.turns[:1]}) for item in many(8, 0.5, reply="same")]
    assert not diagnose([shard(answers)], BOUNDS).trials
    assert "temperature" not in {edit.path for edit in patch_of(PIN + TEMPERATURE, answers).edits}


def test_knobs_that_were_never_moved_go_first() -> None:
    names = ["a", "b", "c", "d", "e"]
    knobs = "".join(
        f'[knobs.{name}]\nkind = "choice"\nchoices = [1, 2, 3, 4, 5, 6]\nvalue = 1\n' for name in names
    )
    harness = load_harness(harness_files(knobs))
    moved = [ask(harness, (), seed, late={"a", "b"}) for seed in range(8)]
    paths = {edit.path for move in moved if move for edit in move.edits}
    assert {"c", "d", "e"} <= paths
    late = [move.paths for move in moved if move and move.paths & {"a", "b"}]
    assert len(late) <= 1  # only where the sampler would leave the others as they are


def test_what_failed_on_this_harness_is_not_proposed_again() -> None:
    base = bundle_digest(harness_files(PIN))
    edit = Edit(kind="set_knob", path="pin_tile", new="16")
    memory = Memory((PastPatch(base, (edit,), "failed", "refused"),), ())
    patch = patch_of(PIN, tiles({8: 0.2, 16: 0.5}), memory)
    assert [edit.new for edit in patch.edits] == ["8"]  # the only move that is left


def test_on_another_harness_it_may_be_proposed() -> None:
    edit = Edit(kind="set_knob", path="pin_tile", new="16")
    memory = Memory((PastPatch("another", (edit,), "failed", "refused"),), ())
    assert patch_of(PIN, tiles({8: 0.2, 16: 0.5}), memory).edits == (edit,)


def test_when_everything_was_tried_nothing_is_proposed() -> None:
    files = harness_files(PIN)
    base = bundle_digest(files)
    past = [
        PastPatch(base, (Edit(kind="set_knob", path="pin_tile", new=v),), "failed", "") for v in ("8", "16")
    ]
    found = diagnose([shard(tiles({8: 0.2, 16: 0.5}))], BOUNDS)
    assert propose_patch(base, files, found, Memory(tuple(past), ()), 1, "exploring", 3) is None


@pytest.mark.parametrize("most", [2, 5])
def test_a_patch_holds_as_many_edits_as_the_budget_of_its_generation(most: int) -> None:
    knobs = "".join(PIN.replace("tile", f"k{n}").replace('"8", "16"', "0, 1") for n in range(6))
    replies = [
        attempt(f"i{n}", 0.5 * (n % 2), reply=json.dumps({f"k{m}": n % 2 for m in range(6)}), seed=n)
        for n in range(12)
    ]
    one_instance = [made.model_copy(update={"plan": replies[0].plan}) for made in replies]
    assert len(patch_of(knobs, one_instance, most_edits=most).edits) == most


def test_the_best_replies_become_exemplars_and_the_worst_one_goes() -> None:
    shown = [{"reply": f"old{n}", "score": 0.1 * n} for n in range(8)]
    files = harness_files(EXEMPLARS, shown)
    found = diagnose([shard([attempt("1", 0.9, reply="new")])], BOUNDS)
    edits = exemplar_moves(load_harness(files), found)[0].edits
    assert [(edit.kind, edit.path) for edit in edits[:2]] == [
        ("drop_exemplar", "exemplars.json"),
        ("add_exemplar", "exemplars.json"),
    ]
    assert edits[0].new == 0
    assert edits[1].new["reply"] == "new"
    after = load_harness(apply_patch(files, Patch(base=bundle_digest(files), edits=edits, reason="")))
    assert len(after.exemplars) == 8


def test_a_hard_instances_best_reply_is_shown_before_an_easy_ones_usual_one() -> None:
    scores = {"easy": (0.6, 0.7), "hard": (0.1, 0.4)}
    made = [attempt(name, score, reply=f"{name} {score}") for name, two in scores.items() for score in two]
    [move] = exemplar_moves(load_harness(harness_files(EXEMPLARS, [])), diagnose([shard(made)], BOUNDS))
    shown = next(edit.new for edit in move.edits if edit.kind == "add_exemplar")
    # within .025; between (.16 - .025) / 2 = .0675; the hard one's ease is -.2 x .0675 / (.0675 + .025 / 2)
    assert (shown["reply"], shown["score"]) == ("hard 0.4", pytest.approx(0.4 + 0.2 * 0.0675 / 0.08))


def test_a_wrong_reply_is_never_shown_however_hard_its_instance() -> None:
    scores = {"easy": (1.0, 1.0), "hard": (0.0, 0.0), "both": (1.0, 0.0)}
    made = [attempt(name, score, reply=f"{name} {score}") for name, two in scores.items() for score in two]
    assert {item.score for item in diagnose([shard(made)], BOUNDS).best} == {1.0}


def test_failing_replies_are_no_exemplars() -> None:
    found = diagnose([shard(many(3, 0.0, "wrong"))], BOUNDS)
    assert exemplar_moves(load_harness(harness_files(EXEMPLARS, [])), found) == []


def test_the_knob_search_learns_from_what_the_screens_measured() -> None:
    harness = load_harness(harness_files(TEMPERATURE))
    measured = [Measured({"temperature": t / 20}, -abs(t / 20 - 0.2)) for t in range(21)]
    asked = [move.edits[0].new for seed in range(12) if (move := ask(harness, measured, seed))]
    assert sum(abs(value - 0.2) < 0.2 for value in asked) >= 8  # blind draws would give about five


def test_no_knobs_no_search() -> None:
    assert ask(load_harness(harness_files("")), (), 0) is None


def test_a_knob_that_depends_on_the_model_is_not_searched() -> None:
    assert ask(load_harness(harness_files(TEMPERATURE + "searched = false\n")), (), 0) is None


def updated(found: Diagnosis, **training: object) -> object:
    return propose_update(found, ["s1"], TrainingSection.model_validate(training), 7)


def test_an_update_names_its_shards_and_hyper_parameters_and_may_be_pinned() -> None:
    found = diagnose([shard(many(4, 0.5) + many(4, 0.2))], BOUNDS)
    update = updated(found, algorithm="best_of_n", steps=5)
    assert (update.algorithm, update.steps, update.shards, update.seed) == ("best_of_n", 5, ("s1",), 7)  # type: ignore[attr-defined]
    assert "pinned" in update.reason  # type: ignore[attr-defined]


def test_rewards_that_are_all_alike_teach_nothing() -> None:
    assert "nothing distinguishes good from bad" in str(updated(diagnose([shard(many(4, 0.5))], BOUNDS)))
    assert "nothing to learn from" in str(updated(diagnose([], BOUNDS)))
