"""Runs the corpus twice: against the naive harness, where an attack shows that it is one, and against the
real sandbox, where it must be contained. One Finding an attack, and one for each honest control.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sandbox_service.attacks import naive, naive_program, naive_replies
from sandbox_service.attacks.corpus import CONTROL, FOLDER, KINDS, TASK, Attack, attacks, kernel_source
from sandbox_service.attacks.finding import Finding, evaluate, seen
from sandbox_service.attacks.run_pools import attack_pools
from sandbox_service.attacks.run_programs import attack_programs
from sandbox_service.attacks.run_proposals import attack_patches, attack_scaffolds
from sandbox_service.toolchains.c.compiler import read_regular
from shared.box.box import Bind, Limits
from shared.box.bubblewrap.cgroup import can_make_groups
from shared.box.open import open_box
from shared.messages.records import Evaluation

LIMITS = Limits(wall_s=4, cpu_s=4, memory_mb=64, processes=16, file_mb=4, output_bytes=1 << 20)
INSTANCE = {"id": "hidden", "n": 160}
WORTH = 2.0  # times the honest speed: what an attack on the clock must seem to reach
SEED = {"RATCHET_ATTACK_SEED": "17"}
TRIES = 5  # on the naive harness: the clock must be met, a cache needs two runs, the machine may be busy
OTHER_WORKERS = 2


@dataclass(frozen=True)
class Grounds:
    """What stands ready to be attacked: a secret, a listener, another job's folder, places for trophies."""

    folder: Path
    secret: Path
    port: int

    def place(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def words(self, name: str) -> dict[str, str]:
        """The macros of a kernel: paths that a candidate could know or guess."""
        answers = {f"ANSWERS_{n}": _answers(n) for n in naive_program.SHAPES}
        strings = {
            "TROPHY": self.trophy(name),
            "SECRET_PATH": self.secret,
            "CACHE_FOLDER": self.place(f"{name}.cache"),
            "BLAS_PATH": _blas(),
        }
        return {**{word: f'"{path}"' for word, path in strings.items()}, **answers}

    def trophy(self, name: str) -> Path:
        return self.folder / f"{name}.trophy"


def run(only: Sequence[str] = ()) -> list[Finding]:
    """The whole corpus, or the named attacks. The box must be whole: open_box() raises if it is not."""
    open_box()
    chosen = [attack for attack in attacks() if not only or attack.name in only]
    by_kind = {kind: [attack for attack in chosen if attack.kind == kind] for kind in KINDS.values()}
    total = can_make_groups()
    with _grounds() as grounds:
        try:
            found = attack_kernels(by_kind["kernel"], grounds)
            found += attack_programs(by_kind["program"], grounds.folder)
            found += attack_scaffolds(by_kind["scaffold"], grounds.folder)
            found += attack_patches(by_kind["patch"])
            found += attack_pools(by_kind["pool"])
            usable = [attack for attack in by_kind["escape"] if total or not attack.needs]
            with ThreadPoolExecutor(OTHER_WORKERS) as pool:
                found += pool.map(lambda attack: attack_box(attack, grounds), usable)
        finally:
            naive.clear_away()
    return found


def attack_kernels(chosen: Sequence[Attack], grounds: Grounds) -> list[Finding]:
    """All kernels as one block of the real evaluator, beside the control; then each on the naive harness."""
    names = [CONTROL, *(attack.name for attack in chosen)]
    sources = {name: kernel_source(name, grounds.words(name)) for name in names}
    real = evaluate(TASK, INSTANCE, sources, grounds.folder)
    honest = naive.judge_kernel(sources[CONTROL], grounds.place(CONTROL), {})
    findings = [_control(real[CONTROL], honest)]
    trophies = {name for name in names if grounds.trophy(name).exists()}
    believing = [attack for attack in chosen if attack.naive == "replies"]
    honest_reply = _by_reply(CONTROL, sources[CONTROL], grounds) if believing else honest
    for attack in chosen:
        result = real[attack.name]
        rewarded = result.outcome == "ok" and result.score > 0
        if attack in believing:
            fooled = _fools_a_believer(attack, sources[attack.name], grounds, honest_reply)
        else:
            fooled = _fools_naive(attack, sources, grounds, honest)
        contained = not rewarded and attack.name not in trophies
        findings.append(Finding.of(attack, fooled, contained, seen(result)))
    return findings


def attack_box(attack: Attack, grounds: Grounds) -> Finding:
    """A program of the host's interpreter, once as a plain process and once in the box."""
    plain, boxed = grounds.place(f"{attack.name}/plain"), grounds.place(f"{attack.name}/boxed")
    words = [str(grounds.port), str(grounds.secret)]
    tail = [str(grounds.folder), str(os.getpid()), str(FOLDER.parent)]
    python = [sys.executable, "-I", "-S"]
    fooled = _escapes_plain(attack, [*python, str(attack.path), *words, str(plain), *tail], plain, SEED)
    binds = [Bind(attack.path, "/attack.py"), Bind(boxed, "/out", writable=True)]
    result = open_box().run([*python, "/attack.py", *words, "/out", *tail], binds=binds, limits=LIMITS)
    escaped = _succeeded(attack, boxed, result.stdout, lambda path: read_regular(path) or b"")
    lines = result.stderr.decode(errors="replace").strip().splitlines()
    return Finding.of(attack, fooled, not escaped, f"{result.outcome}{f': {lines[-1]}' if lines else ''}")


def _escapes_plain(attack: Attack, argv: Sequence[str], plain: Path, env: Mapping[str, str]) -> bool:
    """It may come again: on a busy machine the time limit may end one that would have succeeded."""
    for _ in range(1 if attack.kept else TRIES):
        done = naive.run_program(argv, plain, env)
        if _succeeded(attack, plain, done.stdout if done else b"", naive.collect):
            return True
    return False


def _by_reply(name: str, source: str, grounds: Grounds) -> naive.Verdict:
    return naive_replies.judge_kernel(source, TASK, grounds.place(f"{name}.replies"))


def _fools_a_believer(attack: Attack, source: str, grounds: Grounds, honest: naive.Verdict) -> bool:
    for _ in range(TRIES):
        verdict = _by_reply(attack.name, source, grounds)
        if verdict.correct and verdict.speedup >= WORTH * honest.speedup:
            return True
    return False


def _fools_naive(attack: Attack, sources: Mapping[str, str], grounds: Grounds, honest: naive.Verdict) -> bool:
    """Judged by what the naive harness believes, or by what the attack left. It may come again, beside an
    honest kernel that is timed again: the machine's load may have changed."""
    for number in range(1 if attack.kept else TRIES):
        if number:
            honest = naive.judge_kernel(sources[CONTROL], grounds.place(CONTROL), {})
        verdict = naive.judge_kernel(sources[attack.name], grounds.place(attack.name), {})
        if verdict.hung or (attack.gain == "trophy" and grounds.trophy(attack.name).exists()):
            return True
        fast = attack.gain == "pass" or verdict.speedup >= WORTH * honest.speedup
        if verdict.correct and fast and attack.gain != "trophy":
            return True
    return False


def _succeeded(attack: Attack, folder: Path, printed: bytes, collect: Callable[[Path], bytes | None]) -> bool:
    """Observed from outside wherever the program's output can not be trusted."""
    if attack.judge == "word":
        return printed.startswith(b"escaped")
    if attack.judge == "flood":
        return len(printed) > 2 * LIMITS.output_bytes
    if attack.judge == "alive":
        return _holds(folder / "alive")
    got = collect(folder / "result")
    return got is None or b"secret" in got or len(got) > 1 << 24


def _holds(lock: Path) -> bool:
    """Whether a process still holds its lock, and so still runs."""
    if not lock.exists():
        return False
    with open(lock, encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _control(real: Evaluation, honest: naive.Verdict) -> Finding:
    passed = real.outcome == "ok" and real.score > 0
    return Finding(
        CONTROL, "control", "an honest kernel, which must be rewarded", honest.correct, passed, saw=seen(real)
    )


@contextmanager
def _grounds() -> Iterator[Grounds]:
    with (
        tempfile.TemporaryDirectory(prefix="ratchet-attacks-", ignore_cleanup_errors=True) as folder,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX) as abstract,
        _harness_process(),
    ):
        port = listener.getsockname()[1]
        abstract.bind(f"\0ratchet-attack-{port}")
        abstract.listen()
        secret = Path(folder, "secret")
        secret.write_text("secret", encoding="utf-8")
        grounds = Grounds(Path(folder), secret, port)
        (grounds.place("another-job") / "result").write_text("secret")
        yield grounds


@contextmanager
def _harness_process() -> Iterator[None]:
    """A process of the harness, whose environment holds the seed."""
    process = subprocess.Popen(["sleep", "infinity"], env={**os.environ, **SEED})
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _answers(n: int) -> str:
    values = naive_program.reference(*naive_program.make_inputs(n)).ravel()
    return ",".join(f"{value:.5f}f" for value in values)


def _blas() -> str:
    """The BLAS inside numpy's own package."""
    libraries = Path(np.__file__).parents[1] / "numpy.libs"
    return str(next(libraries.glob("libscipy_openblas*"), libraries / "none"))
