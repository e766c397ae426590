"""A verifier in its own process: it can't reach the requests, and its failure is reported at once, by
kind."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ratchet.tasks import new_task
from sandbox_service.verify.process import VerifierProcess
from shared.errors import BoxError, VerifierError
from shared.tasks.task import find_task
from tests.running import ends_soon

DRAW = "import json, os, signal, sys\ndef draw(split, count, seed):\n    return [{'id': 'a'}]\n"
INSTANCE = {"id": "a"}


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], VerifierProcess]]:
    with ExitStack() as stack:

        def start(score: str, head: str = "") -> VerifierProcess:
            new_task.create(tmp_path / "mine")
            text = f"{head}{DRAW}def score(instance, answer):\n    {score}\n"
            (tmp_path / "mine" / "verifier.py").write_text(text)
            return stack.enter_context(VerifierProcess(find_task(str(tmp_path / "mine"))))

        yield start


def ask(process: VerifierProcess, content: str = "x", timeout_s: float = 60.0) -> dict:
    return process.ask("score", timeout_s, instance=INSTANCE, content=content)


@pytest.mark.parametrize(
    ("score", "message", "where"),
    [
        ("raise KeyError('x')", "verifier.py raised KeyError: 'x'", "line 5, in score"),
        ("return input()", "EOFError", "in score"),
        ("sys.exit()", "SystemExit", "in score"),
        ("return json.loads(answer)['no']", "Error", "in score"),
        ("return None", "score is None", "a score is a number"),
        ("return 7", "score 7 is outside of 0..1", "a score is a number"),
        ("os._exit(3)", "exit code 3", "ratchet validate"),
    ],
)
def test_a_broken_verifier_is_named_with_the_line_that_broke(started, score: str, message: str, where: str):
    with pytest.raises(VerifierError) as caught:
        ask(started(score))
    assert not caught.value.transient
    assert message in caught.value.message
    assert where in caught.value.hint


def test_a_verifier_that_does_not_import_is_named_with_its_error(started):
    with pytest.raises(VerifierError, match="No module named 'no_such_module'"):
        ask(started("return 0.5", head="import no_such_module\n"))


def test_a_verifier_that_never_answers_is_ended(started):
    with pytest.raises(VerifierError, match="did not answer score in 3 s"):
        ask(started("\n    while True: pass"), timeout_s=3)


def test_one_that_the_system_killed_may_be_asked_again(started):
    with pytest.raises(BoxError) as caught:
        ask(started("os.kill(os.getpid(), signal.SIGKILL)"))
    assert caught.value.transient


def test_what_it_cannot_judge_although_it_judges_plain_answers_is_the_candidate_s_fault(started):
    process = started("return float(answer) / 10 if answer != '{}' else 0.1")
    assert ask(process, "5")["score"] == 0.5
    for hostile in ("five", "nan"):
        found = ask(process, hostile)
        assert (found["outcome"], found["score"]) == ("wrong", 0.0)
        assert "could not judge it" in found["detail"]
    with pytest.raises(
        VerifierError, match="score 50 is outside"
    ):  # a scale that does not fit is no answer's fault
        ask(process, "500")


def test_what_it_prints_and_reads_does_not_mix_with_requests_and_replies(started):
    process = started("print('x' * 100_000); os.write(1, b'y\\n'); return 0.25", head="print('at import')\n")
    assert [ask(process, content)["score"] for content in ("a", "b")] == [0.25, 0.25]


def test_it_may_print_any_character_and_half_of_one(started, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert ask(started("print(answer, '\\ud83d'); return 0.25"), "罪")["score"] == 0.25


def test_what_it_has_started_ends_with_it(started):
    process = started(
        "return left.pid / 2**32", "import subprocess\nleft = subprocess.Popen(['sleep', '600'])\n"
    )
    pid = round(ask(process)["score"] * 2**32)
    process.close()
    assert ends_soon(pid)


@pytest.mark.parametrize(("value", "counts"), [("1 + 2**-52", 1.0), ("1 + 2**-22", 1.0), ("-(2**-40)", 0.0)])
def test_a_score_that_a_rounding_error_put_beside_a_bound_counts_as_the_bound(started, value, counts):
    assert ask(started(f"return {value}"))["score"] == counts


def test_a_score_further_out_of_bounds_is_shown_in_all_its_digits(started):
    with pytest.raises(VerifierError, match=r"score 1\.00001 is outside of 0\.\.1"):
        ask(started("return 1.00001"))
