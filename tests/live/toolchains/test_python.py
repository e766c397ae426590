"""Python programs as bad as models write them, each in the real box, with honest ones in the same block."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox_service.evaluate import Evaluator
from shared.messages.records import BatchScores, Block, CandidateBatch, Evaluation
from shared.store.store import LocalStore

TASK = Path(__file__).parent / "tiny_python"
HEAD = "import numpy as np\n\n\ndef smooth(noisy, neighbours, sigma):\n    "
MEAN = "neighbours @ noisy / neighbours.sum(1)"
HONEST = f"{HEAD}return {MEAN}"
SPARSE = """
import os
import numpy as np
from scipy import ndimage, sparse

assert os.environ["OMP_NUM_THREADS"] == os.environ["NUMBA_NUM_THREADS"] == "1"
open(os.environ["NUMBA_CACHE_DIR"], "w").write("can be written")

def smooth(noisy, neighbours, sigma):
    assert sparse.isspmatrix_csr(neighbours) and neighbours.shape == (400, 400) and neighbours.nnz == 8290
    assert sigma == 0.5 and noisy.flags.writeable
    column = sparse.coo_array(ndimage.uniform_filter(noisy, 21)[:, None])
    return {"out": np.ravel(column.toarray()), "column": column, "count": np.int32(3)}
"""
READ = """
import glob, os, sys
def smooth(noisy, neighbours, sigma):
    seen = [path for path in ("{task}/verifier.py", "/etc/shadow", "{secret}") if os.path.exists(path)]
    # only a folder that leads to the interpreter may stand there
    seen += [path for path in glob.glob("/tmp/*") if not sys.prefix.startswith(path + "/")]
    seen += glob.glob("/candidate/*/verifier*") + glob.glob("/home/*")
    raise SystemExit(seen or "nothing")
"""
CONNECT = """
import socket
def smooth(*_):
    socket.create_connection(("127.0.0.1", {port}), timeout=1)
"""
LINK = """
import os
def smooth(*_):
    os.unlink("/candidate/outputs")
    os.symlink("/etc/passwd", "/candidate/outputs")
    os._exit(0)
"""
TAKES_EVERY_CORE = f"""{HEAD}import os
    for _ in range(3):
        if not os.fork(): os.setsid()  # the kernel shares cores between sessions
    while True: pass
"""
WORKS_FOR_SECONDS = f"""{HEAD}import time
    while time.process_time() < 3: pass
    return {MEAN}
"""
SPOIL = f"{HEAD}import os; open('/candidate/outputs', 'wb').write({{!r}}); os._exit(0)"
SPARSE_HALF = """
import numpy as np
from scipy import sparse
class Half:
    nnz = 0
    def __init__(self, m):
        self.m, self.shape = m.tocsr(), m.shape
        self.indices, self.indptr = self.m.indices, self.m.indptr
    def tocsr(self):
        return self
    @property
    def data(self):
        return self.m.data.astype(np.float16)
def smooth(noisy, neighbours, sigma):
    return Half(sparse.csr_matrix(noisy[:, None]))
"""
CORPUS = {
    "loops": ("timeout", f"{HEAD}while True: pass", "not done after 6 s"),  # first: others run meanwhile
    "honest": ("ok", HONEST, ""),
    "forks, and the child answers too": ("ok", f"{HEAD}import os; os.fork(); return {MEAN}", ""),
    "leaves a daemon": ("ok", f"{HEAD}import os\n    os.system('setsid sleep 99 &'); return {MEAN}", ""),
    "prints a little": ("ok", f"{HEAD}print('x' * 9999); return {MEAN}", ""),
    "does not parse": ("compile_error", "def smooth(:\n", "invalid syntax"),
    "holds a null byte": ("compile_error", "x = 1\0", "null bytes"),
    "is nested too deep": ("compile_error", f"x = {'(' * 9000}", "nested"),
    "has no such function": ("compile_error", "def denoise(x): return x", "no function smooth"),
    "raises": ("crashed", f"{HEAD}return np.ones(3) @ np.ones(4)", "line 5, in smooth"),
    "raises while it loads": ("crashed", "import no_such_module", "No module named 'no_such_module'"),
    "leaves": ("crashed", f"{HEAD}import sys; sys.exit(0)", "left with exit(0)"),
    "leaves at once": ("no_output", f"{HEAD}import os; os._exit(0)", "ended before smooth had returned"),
    "crashes": ("crashed", f"{HEAD}import ctypes; ctypes.string_at(8)", "Segmentation fault"),
    "returns nothing": ("no_output", f"{HEAD}return None", "returned None"),
    "returns a list": ("wrong", f"{HEAD}return list(noisy)", "returned list"),
    "returns objects": ("wrong", f"{HEAD}return noisy.astype(object)", "an array of object"),
    "returns text": ("wrong", f"{HEAD}return np.array(['a'])", "an array of <U1"),
    "names it otherwise": (
        "no_output",
        f"{HEAD}return {{'clean': noisy}}",
        "no output 'out'; there is clean",
    ),
    "returns another shape": ("wrong", f"{HEAD}return noisy[:, None]", "shape (400, 1) instead of (400,)"),
    "returns NaN": ("wrong", f"{HEAD}noisy[7] = np.nan; return noisy", "1 of 400 elements are NaN"),
    "returns complex numbers": ("wrong", f"{HEAD}return noisy + 0j", "not real numbers"),
    "returns its input": ("wrong", f"{HEAD}return noisy", "no better"),
    "returns a sparse matrix of float16": ("wrong", SPARSE_HALF, "shape (400, 1)"),
    "raises half a character": ("crashed", f"{HEAD}raise ValueError('\\ud800')", "ValueError: \ufffd"),
    "names its output with half a character": (
        "no_output",
        HEAD + "return {'\\ud800': noisy}",
        "there is \ufffd",
    ),
    "reports half a character": (
        "wrong",
        f"{HEAD}import os; open('/candidate/report', 'w').write("
        '\'{"outcome": "wrong", "detail": "\\\\ud800"}\'); os._exit(0)',
        "\ufffd",
    ),
    "returns too much": ("over_limit", f"{HEAD}return np.zeros(20_000_000)", "output is too large"),
    "eats memory": ("over_limit", f"{HEAD}return [bytearray(1 << 25) for _ in range(99)]", "may use 512 MB"),
    "forks without end": ("crashed", f"{HEAD}import os\n    while True: os.fork()", "BlockingIOError"),
    "prints a gigabyte": ("over_limit", f"{HEAD}while True: print('x' * 9999)", "printed more"),
    "reads what it may not": ("crashed", "", "left with exit('nothing')"),
    "reaches for the network": ("crashed", "", "ConnectionRefusedError"),
    "puts a link in place of its output": ("crashed", LINK, "Read-only file system"),
    "writes garbage": ("wrong", SPOIL.format(b"garbage" * 99), "can't be read"),
    "writes a pickle": ("wrong", SPOIL.format(b"\x80\x04cos\nsystem\n."), "can't be read"),
    "blames the box": ("crashed", f"{HEAD}open('/candidate/report', 'w').write('[]'); 1 / 0", "ZeroDivision"),
    "reports well": (
        "no_output",
        f"{HEAD}import os; open('/candidate/report', 'w').write('{{\"outcome\": \"ok\"}}'); os._exit(0)",
        "ended before",
    ),
}


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluator]:
    folder = tmp_path_factory.mktemp("sandbox")
    made = Evaluator(LocalStore(folder / "store"), folder / "cache")
    yield made
    made.close()


def evaluate(evaluator: Evaluator, *sources: str, fresh: bool = True, **instance: object) -> BatchScores:
    entries = tuple((f"attempt-{index}", source) for index, source in enumerate(sources))
    block = Block(instance={"id": "one", "n": 400, **instance}, entries=entries)
    return evaluator.evaluate(CandidateBatch(task=str(TASK), check="public", fresh=fresh, blocks=(block,)))


@pytest.fixture(scope="module")
def found(evaluator: Evaluator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evaluation]:
    """The whole corpus evaluated as one block."""
    secret = tmp_path_factory.mktemp("host") / "secret"
    secret.write_text("from outside")
    sources = {name: source for name, (_, source, _) in CORPUS.items()}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sources["reads what it may not"] = READ.format(task=TASK, secret=secret)
        sources["reaches for the network"] = CONNECT.format(port=listener.getsockname()[1])
        scores = evaluate(evaluator, *sources.values())
    return dict(zip(CORPUS, scores.blocks[0], strict=True))


@pytest.mark.parametrize("name", CORPUS)
def test_a_candidate_ends_as_what_it_is(name: str, found: dict[str, Evaluation]) -> None:
    outcome, _, message = CORPUS[name]
    assert found[name].outcome == outcome, found[name].detail
    assert message in found[name].detail
    assert len(found[name].detail) <= 2000


def test_failures_get_the_lowest_score_and_honest_ones_what_they_reach(found: dict[str, Evaluation]) -> None:
    assert {evaluation.score for evaluation in found.values() if evaluation.outcome != "ok"} == {0.0}
    assert found["honest"].score > 0.5
    assert set(found["honest"].metrics) == {"seconds", "judge_s", "mse"}


def test_candidates_of_a_block_meet_the_same_inputs(found: dict[str, Evaluation]) -> None:
    assert found["honest"].score == found["prints a little"].score


def test_sparse_matrices_and_numbers_go_in_and_come_out(evaluator: Evaluator) -> None:
    ((found,),) = evaluate(evaluator, SPARSE, sparse=True).blocks
    assert (found.outcome, found.detail) == ("ok", "")


def test_an_evaluation_made_before_is_found_again_unless_a_fresh_one_is_asked_for(
    evaluator: Evaluator,
) -> None:
    first, again, fresh = (evaluate(evaluator, HONEST, fresh=wish) for wish in (False, False, True))
    assert [scores.cost.evaluations for scores in (first, again, fresh)] == [1, 0, 1]
    assert first.blocks == again.blocks
    assert fresh.blocks[0][0].score != first.blocks[0][0].score  # other noise: nothing to learn by heart


def test_a_program_can_not_hold_up_its_neighbour_until_that_is_out_of_time(evaluator: Evaluator) -> None:
    ((hog, honest),) = evaluate(evaluator, TAKES_EVERY_CORE, WORKS_FOR_SECONDS).blocks
    assert (hog.outcome, honest.outcome) == ("timeout", "ok")
