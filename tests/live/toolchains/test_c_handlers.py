"""Event in, events out, with the real box: scoring a batch, and patches that hold or do not."""

from pathlib import Path

import pytest

from sandbox_service.evaluate import Evaluator
from sandbox_service.handlers import Deps, on_candidates_proposed, on_harness_proposed
from shared.box.open import open_box
from shared.config.settings import load_config
from shared.harness.bundle import load_harness
from shared.harness.steps import ScaffoldPool
from shared.messages.events import (
    CandidatesProposed,
    CandidatesScored,
    HarnessProposed,
    HarnessRefused,
    HarnessValidated,
    Join,
)
from shared.messages.proposals import Edit, Patch
from shared.messages.records import (
    AttemptPlan,
    AttemptState,
    BatchScores,
    Block,
    CandidateBatch,
    Release,
    Sample,
    ShardState,
    Turn,
)
from shared.store.store import LocalStore, get_bundle, get_record, put_bundle, put_json, read_folder

TASK = Path(__file__).parent / "tiny_kernel"
INSTANCE = {"id": "one", "n": 1000}
JOIN = Join(id="j", slot="0", expected=1)
ANSWER = 'return {"answer": {"content": history[0]["replies"][0], "samples": [0]}}'


@pytest.fixture(scope="module")
def deps(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("sandbox")
    store = LocalStore(folder / "store")
    evaluator = Evaluator(store, folder / "cache")
    with ScaffoldPool(open_box()) as pool:
        yield Deps(store, folder / "cache", evaluator.evaluate, evaluator.answers, pool)
    evaluator.close()


@pytest.fixture(scope="module")
def config(deps: Deps) -> str:
    return put_json(deps.store, load_config([{"run": {"task": str(TASK)}}]))


@pytest.fixture(scope="module")
def base(deps: Deps) -> str:
    return put_bundle(deps.store, read_folder(TASK / "harness"))


@pytest.fixture(scope="module")
def trace(deps: Deps, base: str) -> str:
    plan = AttemptPlan(
        attempt_id="a", instance=INSTANCE, arm="train", release=Release(base="b", harness=base), seed=1
    )
    turn = Turn(action={"ask": []}, replies=(Sample(text="a recorded reply"),))
    return put_json(deps.store, ShardState(attempts=(AttemptState(plan=plan, turns=(turn,)),)))


def proposed(deps: Deps, config: str, base: str, smoke: tuple[str, ...], *edits: Edit) -> HarnessProposed:
    patch = put_json(deps.store, Patch(base=base, edits=edits, reason="try it"))
    return HarnessProposed(
        run_id="r", generation=2, join=JOIN, config=config, patch=patch, smoke=smoke, reason="try it"
    )


def test_a_batch_is_scored_and_the_chain_goes_on_where_it_was(deps: Deps, config: str):
    block = Block(instance=INSTANCE, entries=(("a", "int broken"), ("b", "")))
    batch = CandidateBatch(task=str(TASK), check="public", fresh=False, blocks=(block,))
    event = CandidatesProposed(
        run_id="r",
        generation=3,
        join=JOIN,
        config=config,
        purpose="train",
        check="public",
        turn=4,
        state="the agent's memory",
        batch=put_json(deps.store, batch),
    )
    (scored,) = on_candidates_proposed(event, deps=deps)
    assert isinstance(scored, CandidatesScored)
    assert (scored.run_id, scored.generation, scored.join, scored.turn) == ("r", 3, JOIN, 4)
    assert (scored.state, scored.batch) == (event.state, event.batch)
    scores = get_record(deps.store, scored.scores, BatchScores)
    assert [found.outcome for found in scores.blocks[0]] == ["compile_error", "refused"]
    assert scored.cost.evaluations == 1


@pytest.mark.parametrize("with_trace", [True, False])
def test_a_patch_that_runs_becomes_a_harness(deps, config, base, trace, with_trace):
    edit = Edit(kind="set_knob", path="temperature", new=0.5)
    (answer,) = on_harness_proposed(
        proposed(deps, config, base, (trace,) if with_trace else (), edit), deps=deps
    )
    assert isinstance(answer, HarnessValidated)
    assert (answer.join, answer.generation, answer.reason) == (JOIN, 2, "try it")
    assert load_harness(get_bundle(deps.store, answer.harness)).values == {"temperature": 0.5}


BAD_ENDINGS = {
    "crashes": ("raise ValueError('oh no')", "oh no"),
    "loops": ("while True: pass", "longer than 2 s"),
    "answers garbage": ("return {'shout': 1}", "not an action"),
    "never answers": ("return {'try': [{'content': 'x'}]}", "no answer after 4 turns"),
}


@pytest.mark.parametrize("name", BAD_ENDINGS)
def test_a_scaffold_that_does_not_run_is_refused_with_the_reason(deps, config, base, trace, name):
    ending, reason = BAD_ENDINGS[name]
    edit = Edit(kind="replace_text", path="scaffold.py", old=ANSWER, new=ending)
    (answer,) = on_harness_proposed(proposed(deps, config, base, (trace,), edit), deps=deps)
    assert isinstance(answer, HarnessRefused)
    assert reason in answer.reason


def test_a_knob_out_of_its_bounds_is_refused(deps, config, trace):
    other = put_bundle(deps.store, {**read_folder(TASK / "harness"), "prompts/new.md": b"x"})
    patch = put_json(
        deps.store,
        Patch(base=other, edits=(Edit(kind="set_knob", path="temperature", new=9.0),), reason="r"),
    )
    event = HarnessProposed(run_id="r", join=JOIN, config=config, patch=patch, smoke=(trace,), reason="r")
    (answer,) = on_harness_proposed(event, deps=deps)
    assert isinstance(answer, HarnessRefused)
    assert "9.0" in answer.reason
