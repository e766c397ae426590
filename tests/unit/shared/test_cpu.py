"""What is said of a CPU: by its first core, as Linux lists it."""

from pathlib import Path

from shared.cpu import bfloat16_pays
from shared.machine import describe_machine

CORE = "processor\t: {}\nmodel name\t: A CPU\nflags\t\t: fpu avx512f avx512_bf16\nbugs\t\t: none: at all\n\n"


def test_processors_of_one_name_are_told_apart_by_their_instructions(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    new.write_text(CORE.format(0) + CORE.format(1))
    old.write_text(CORE.format(0).replace(" avx512f avx512_bf16", ""))
    assert ", A CPU with AVX-512, AVX512-BF16, Python" in describe_machine(new)
    assert ", A CPU, Python" in describe_machine(old)
    assert bfloat16_pays(576, new)
    assert not bfloat16_pays(128, new)
    assert not bfloat16_pays(576, old)


def test_of_an_unknown_system_nothing_is_claimed(tmp_path: Path) -> None:
    assert not bfloat16_pays(576, tmp_path / "missing")
    assert ", , Python" in describe_machine(tmp_path / "missing")
