"""The floor under the times of `ratchet bench trimul`: the products, at what the cores can do at most."""

from pathlib import Path

from benchmarks.trimul.fma_peak import peak_flops, shares, trimul_flops

FLAGS = ["-O3", "-march=native", "-ffast-math", "-fopenmp"]


def test_the_products_of_the_operator_are_counted_as_by_hand() -> None:
    # 4 places: 5 projections of 2 x 3 x 5, a contraction of 2 x 2 x 5, a way out of 2 x 5 x 3
    assert trimul_flops(n=2, c=3, h=5) == 4 * (5 * 30 + 20 + 30)


def test_a_program_at_half_the_peak_takes_twice_the_floor() -> None:
    found = shares({"ours": 20.0, "other": 40.0}, flops=10**9, peak=1e11)

    assert found == {"products_at_peak_ms": 10.0, "share_of_peak": {"ours": 0.5, "other": 0.25}}


def test_the_peak_is_that_of_vectors_and_of_work_that_is_really_done(tmp_path: Path) -> None:
    most = 6e9 * 2 * 16 * 2  # a second: cycles x units x numbers of a vector x operations
    assert 2e9 < peak_flops(FLAGS, 1, tmp_path) < most
