"""Programs that denoise and programs that do something else, each in the real box."""

import shutil
import socket
from pathlib import Path

import pytest

from sandbox_service.evaluate import Evaluator
from shared.box.open import open_box
from shared.harness.steps import ScaffoldFailed, ScaffoldPool
from shared.messages.records import Block, CandidateBatch, Evaluation, JsonObject
from shared.store.store import LocalStore
from shared.tasks.task import load_task
from tests.parts.denoising import TASK, part
from tests.unit.tasks.denoising.test_scaffold import PLAIN, TEXT, scaffold

HEAD = "import numpy as np\n\n\ndef denoise(counts):\n    "
MEAN = "np.asarray(counts.sum(1)) @ np.asarray(counts.sum(0)) / counts.sum()"
READS_SCANPY = """
import glob, sys
def denoise(counts):
    found = [path for place in sys.path for path in glob.glob(place + "/scanpy/**/*pbmc68k*", recursive=True)]
    for path in found:
        try:
            open(path, "rb").read()
        except PermissionError:
            continue
        raise SystemExit("read " + path)
    raise SystemExit(f"{len(found)} found, none read")
"""
READS_TASK = """
import os
def denoise(counts):
    raise SystemExit([path for path in {paths} if os.path.exists(path)] or "nothing")
"""
CONNECTS = """
import socket
def denoise(counts):
    socket.create_connection(("127.0.0.1", {port}), timeout=1)
"""
CORPUS = {
    "loops": ("timeout", f"{HEAD}while True: pass", "not done after 12 s"),  # first: others run meanwhile
    "a rendered pipeline": ("ok", scaffold.render(PLAIN | {"restarts": 1}, TEXT), "against library size"),
    "library size x gene mean": ("ok", f"{HEAD}return {MEAN}", "0.000, mse "),
    "the counts as they are, sparse": ("ok", f"{HEAD}return counts", "poisson -"),
    "returns text": ("wrong", f"{HEAD}return 'counts'", "returned str"),
    "returns another shape": ("wrong", f"{HEAD}return ({MEAN}).T", "instead of (105,"),
    "returns a larger sparse matrix": (
        "wrong",
        "from scipy import sparse\ndef denoise(counts):\n    return sparse.csr_matrix((10**6, 10**6))",
        "has shape (1000000, 1000000)",
    ),
    "returns NaN": ("wrong", f"{HEAD}return {MEAN} * np.nan", "are NaN or infinite"),
    "returns negative counts": ("refused", f"{HEAD}return -({MEAN})", "negative: cell "),
    "shrinks": ("refused", f"{HEAD}return ({MEAN}) * 1e-6", "mass: cell "),
    "dumps": ("refused", f"{HEAD}x = ({MEAN}) / 2; x[:, 9] += x.sum(1); return x", "dump: cell "),
    "reads the matrix that the instances are made of": ("crashed", READS_SCANPY, "1 found, none read"),
    "reads the task": ("crashed", "", "left with exit('nothing')"),
    "reaches for the network": ("crashed", "", "ConnectionRefusedError"),
}


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The task with little time for a candidate."""
    folder = tmp_path_factory.mktemp("task") / "denoising"
    shutil.copytree(TASK, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / "task.toml").read_text()
    assert "candidate_s = 90.0" in text
    (folder / "task.toml").write_text(text.replace("candidate_s = 90.0", "candidate_s = 12.0"))
    return folder


def instance() -> JsonObject:
    found: JsonObject = part("verifier").draw("train", 1, 0)[0]
    return found


@pytest.fixture(scope="module")
def found(task: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evaluation]:
    """The whole corpus evaluated as one block."""
    folder = tmp_path_factory.mktemp("sandbox")
    evaluator = Evaluator(LocalStore(folder / "store"), folder / "cache")
    sources = {name: source for name, (_, source, _) in CORPUS.items()}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        paths = [str(task / "verifier.py"), str(TASK / "verifier.py"), str(task / "data")]
        sources["reads the task"] = READS_TASK.format(paths=paths)
        sources["reaches for the network"] = CONNECTS.format(port=listener.getsockname()[1])
        block = Block(instance=instance(), entries=tuple((name, source) for name, source in sources.items()))
        batch = CandidateBatch(task=str(task), check="final", fresh=True, blocks=(block,))
        scores = evaluator.evaluate(batch)
    evaluator.close()
    return dict(zip(CORPUS, scores.blocks[0], strict=True))


@pytest.mark.parametrize("name", CORPUS)
def test_a_program_ends_as_what_it_is(name: str, found: dict[str, Evaluation]) -> None:
    outcome, _, message = CORPUS[name]
    assert found[name].outcome == outcome, found[name].detail
    assert message in found[name].detail


def test_what_is_no_estimate_gets_the_lowest_score_and_a_pipeline_more_than_the_mean(
    found: dict[str, Evaluation],
) -> None:
    assert {each.score for each in found.values() if each.outcome != "ok"} == {-0.1}
    assert found["library size x gene mean"].score == pytest.approx(0, abs=1e-4)
    assert found["a rendered pipeline"].score > 0.4
    wanted = {"poisson", "mse", "official.mse_norm", "official.poisson_norm", "seconds"}
    assert wanted <= set(found["a rendered pipeline"].metrics)


def test_a_scaffold_can_not_read_the_matrix_that_the_instances_are_made_of(tmp_path: Path) -> None:
    path = part("data").matrices.read_bundled.__globals__["bundled_path"]()
    body = f"    return {{'answer': {{'content': str(open({str(path)!r}, 'rb').read(9))}}}}\n"
    (tmp_path / "scaffold.py").write_text(f"def step(instance, history, knobs, context):\n{body}")
    limits = load_task("denoising").manifest.attempt
    payload = {"instance": {}, "history": [], "knobs": {}, "context": {}}
    with ScaffoldPool(open_box()) as pool:
        with pytest.raises(ScaffoldFailed, match="Permission denied"):
            pool.step("hidden", tmp_path, payload, limits)
        shown = pool.step("shown", tmp_path, payload, limits.model_copy(update={"hidden": ()}))
        assert "HDF" in shown["answer"]["content"]  # the list in task.toml is what hides it
