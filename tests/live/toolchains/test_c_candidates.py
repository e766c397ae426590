"""Programs as bad as models write them, each in the real box, with an honest one in the same block."""

from pathlib import Path

import pytest

from sandbox_service.evaluate import Evaluator
from shared.messages.records import Block, CandidateBatch, Evaluation
from shared.store.store import LocalStore

TASK = Path(__file__).parent / "tiny_kernel"
HEAD = """
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define KERNEL void tiny(const float *a, const float *b, float *out, int64_t n)
#define HONEST for (int64_t i = 0; i < n; i++) out[i] = a[i] * b[i] + a[i];
"""
LATE_THREAD = """
static const float *A, *B; static float *O; static int64_t N;
static void *late(void *x) {
    usleep(200000);
    for (int64_t i = 0; i < N; i++) O[i] = A[i] * B[i] + A[i];
    return x;
}
KERNEL { A = a; B = b; O = out; N = n; pthread_t t; pthread_create(&t, 0, late, 0); }
"""
CORPUS = {
    "honest": ("ok", "KERNEL { HONEST }"),
    "does not compile": ("compile_error", "KERNEL { out[0] = nothing; }"),
    "has another name": ("compile_error", "void other(void) {}"),
    "includes an endless file": ("compile_error", '#include "/dev/zero"\nKERNEL { HONEST }'),
    "includes a host file": ("compile_error", '#include "/etc/shadow"\nKERNEL { HONEST }'),
    "brings its own entry": ("compile_error", "void ratchet_call(void **i, void **o) {}\nKERNEL { HONEST }"),
    "crashes": ("crashed", "KERNEL { *(volatile int *)8 = 1; }"),
    "crashes while it loads": ("crashed", "__attribute__((constructor)) void f(void) { abort(); } KERNEL {}"),
    "leaves": ("crashed", "KERNEL { HONEST exit(0); }"),
    "leaves as a broken driver would": ("crashed", "KERNEL { _exit(98); }"),
    "hangs": ("timeout", "KERNEL { for (volatile int i = 0;;) i++; }"),
    "sleeps": ("timeout", "KERNEL { signal(SIGTERM, SIG_IGN); sleep(60); HONEST }"),
    "writes nothing": ("no_output", "KERNEL { }"),
    "writes half": ("wrong", "KERNEL { n /= 2; HONEST }"),
    "writes NaN": ("wrong", "KERNEL { for (int64_t i = 0; i < n; i++) out[i] = NAN; }"),
    "answers wrongly": ("wrong", "KERNEL { for (int64_t i = 0; i < n; i++) out[i] = a[i] * b[i]; }"),
    "changes its inputs": ("wrong", "KERNEL { memset((void *)b, 0, 4 * n); HONEST }"),
    "is right only once": ("wrong", "static int calls; KERNEL { if (calls++) n = n / 2; HONEST }"),
    "forks": ("over_limit", "KERNEL { while (1) fork(); }"),
    "starts a shell": ("over_limit", 'KERNEL { system("sleep 100 &"); HONEST }'),
    "eats memory": (
        "over_limit",
        "KERNEL { for (;;) { char *p = malloc(1 << 24); memset(p, 1, 1 << 24); } }",
    ),
    "prints a gigabyte": (
        "ok",
        "static char s[1 << 20]; KERNEL { for (int i = 0; i < 1024; i++) write(1, s, 1 << 20); HONEST }",
    ),
    "scribbles on every descriptor": (
        "crashed",
        'KERNEL { for (int fd = 3; fd < 256; fd++) write(fd, "12345678", 8); HONEST }',
    ),
    "computes after it returned": ("no_output", LATE_THREAD),
}
MESSAGES = {  # what a person, or the model that wrote it, needs to know
    "does not compile": "nothing",
    "has another name": "undefined reference to `tiny'",
    "crashes": "Segmentation fault",
    "leaves": "exit code 0",
    "sleeps": "no result after",
    "writes half": "50000 of 100000 elements were never written",
    "writes NaN": "100000 of 100000 elements are NaN",
    "answers wrongly": "elements are off",
    "forks": "start a process",
    "eats memory": "it may use 256 MB",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evaluation]:
    """The whole corpus evaluated as one block."""
    folder = tmp_path_factory.mktemp("sandbox")
    evaluator = Evaluator(LocalStore(folder / "store"), folder / "cache")
    entries = tuple((name, HEAD + source) for name, (_, source) in CORPUS.items())
    block = Block(instance={"id": "one", "n": 100_000}, entries=entries)
    try:
        scores = evaluator.evaluate(
            CandidateBatch(task=str(TASK), check="public", fresh=True, blocks=(block,))
        )
    finally:
        evaluator.close()
    return dict(zip(CORPUS, scores.blocks[0], strict=True))


@pytest.mark.parametrize("name", CORPUS)
def test_a_candidate_ends_as_what_it_is(name: str, found: dict[str, Evaluation]):
    expected, _ = CORPUS[name]
    assert found[name].outcome == expected, found[name].detail
    assert MESSAGES.get(name, "") in found[name].detail
    assert len(found[name].detail) <= 1500


def test_failures_get_the_lowest_score_and_no_timing(found: dict[str, Evaluation]):
    failed = [evaluation for evaluation in found.values() if evaluation.outcome != "ok"]
    assert {evaluation.score for evaluation in failed} == {-1.0}
    assert all(evaluation.metrics == {} for evaluation in failed)


def test_an_honest_candidate_is_timed_beside_all_of_them(found: dict[str, Evaluation]):
    honest = found["honest"]
    assert honest.metrics["speedup_low"] <= honest.metrics["speedup"] <= honest.metrics["speedup_high"]
    assert min(honest.metrics["candidate_ms"], honest.metrics["baseline_ms"]) > 0
    times = {"speedup", "candidate_ms", "baseline_ms", "noise"}
    assert set(honest.metrics) == times | {"speedup_low", "speedup_high", "rounds"}
