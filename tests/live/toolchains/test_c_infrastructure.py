"""A failure of the sandbox itself is an error that can be retried or repaired, never a candidate's low
score."""

import shutil
from pathlib import Path

import pytest

from sandbox_service.evaluate import Evaluator
from sandbox_service.worker import build
from shared.config.settings import StackSettings
from shared.errors import ToolMissingError, VerifierError
from shared.messages.records import Block, CandidateBatch
from shared.store.store import LocalStore
from tests.parts.slow import one_in

TASK = Path(__file__).parent / "tiny_kernel"
HONEST = """
#include <stdint.h>
void tiny(const float *a, const float *b, float *out, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = a[i] * b[i] + a[i];
}
"""


LEAVES = "void exit(int); "
HALF = HONEST.replace("i < n", "i < n / 2")
OFF = HONEST.replace("+ a[i]", "+ 2 * a[i]")
SOMETIMES = OFF.replace("2 * a[i]", "(a[0] > -1 ? 2 : 1) * a[i]")  # mostly, so that five tries show it


@pytest.mark.parametrize(
    ("baseline", "reason"),
    one_in(
        2,
        [
            ("void tiny(void) { __builtin_trap(); }", "itself fails on instance 'one' .crashed"),
            ("void tiny(void) {}", "itself fails on instance 'one' .no_output"),
            (HALF, "never written"),
            ("void tiny(float *a) { *(volatile float *)8 = a[0]; }", "Segmentation fault"),
            (SOMETIMES, "elements are off"),
            (OFF, "elements are off"),
            ("no C at all", "did not compile"),
            ('void tiny(void) { for (;;) { __asm__ volatile (""); } }', "timeout"),
            (LEAVES + "void tiny(void) { exit(0); }", "exit code 0"),
        ],
    ),
)
def test_a_broken_baseline_is_named_at_once_and_blames_no_candidate(tmp_path, baseline, reason):
    task = tmp_path / "task"
    shutil.copytree(TASK, task)
    with (task / "verifier.py").open("a") as file:
        file.write(f"\nBASELINE = {baseline!r}\n")
    evaluator = Evaluator(LocalStore(tmp_path / "store"), tmp_path / "cache")
    block = Block(instance={"id": "one", "n": 100}, entries=(("a", HONEST),))
    try:
        with pytest.raises(VerifierError, match=reason):
            evaluator.evaluate(CandidateBatch(task=str(task), check="public", fresh=True, blocks=(block,)))
    finally:
        evaluator.close()


def test_a_machine_without_a_compiler_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    stack = StackSettings(
        ledger_url="sqlite://", store_url=str(tmp_path), broker_url="redis://", cache_dir=tmp_path
    )
    with pytest.raises(ToolMissingError, match="apt-get install gcc"):
        build(stack)
