"""Compiles C candidates in the box, several at a time; it runs none of them.

A candidate becomes a shared library together with the task's CALL text; the driver that loads it is compiled
once. Compiled files are kept by the digest of all that went into them: compiling again would give the same
bytes. (Timings are another matter and are never kept here.)
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from shared.box.box import Bind, Box, BoxResult, Limits
from shared.box.machine_lock import busy
from shared.errors import BoxError, ToolMissingError, VerifierError
from shared.messages.records import digest_of

DRIVER = Path(__file__).resolve().with_name("kernel_driver.c")
TASKS_OWN = ("baseline", "task's CALL")  # sources that verifier.py gives
DRIVER_FLAGS = ("-O3", "-march=native")
# A library that only `ratchet_call` leaves: calls inside it cost what they cost in a plain program.
LIBRARY_FLAGS = (
    "-shared",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-semantic-interposition",
    "-Wl,--no-undefined",
)
ADAPTER_FLAGS = ("-c", "-fPIC", "-fvisibility=hidden")
MESSAGE_FLAGS = ("-w", "-fmax-errors=5", "-fdiagnostics-color=never", "-fno-diagnostics-show-caret")
EXPORT = (
    '\n__attribute__((visibility("default"))) void ratchet_call(void **in, void **out) { call(in, out); }\n'
)
LIMITS = Limits(wall_s=20, cpu_s=20, memory_mb=1024, processes=16, file_mb=16, output_bytes=200_000)
NOT_FOUND = 127  # the exit code of a program that the box does not have
DETAIL_CHARS = 1500
LIBRARY_BYTES = 8 << 20


@dataclass(frozen=True)
class Compiled:
    """A file that can be loaded, or the compiler's messages."""

    path: Path | None
    error: str = ""

    def needed(self, what: str) -> Path:
        """The file, of a source that is ours or the task's: where it fails, no candidate is to blame."""
        if self.path is None:
            if what in TASKS_OWN:  # the task's own: no other try compiles it
                raise VerifierError(f"the {what} did not compile: {self.error}", "see verifier.py")
            raise BoxError(f"the {what} did not compile: {self.error}", "run `ratchet doctor`")
        return self.path


class CCompiler:
    """Compiles in the box into `folder`, which may be deleted when nothing runs."""

    def __init__(self, box: Box, folder: Path, *, workers: int = os.cpu_count() or 1) -> None:
        self._box, self._folder, self._workers = box, folder, workers
        folder.mkdir(parents=True, exist_ok=True)

    def driver(self) -> Path:
        return self._compile(DRIVER.read_text(encoding="utf-8"), DRIVER_FLAGS).needed("driver")

    def libraries(self, sources: Iterable[str], call: str, flags: Sequence[str]) -> dict[str, Compiled]:
        """Every distinct source, compiled with the task's flags; as many at a time as there are cores."""
        adapter = self._compile(call + EXPORT, [*flags, *ADAPTER_FLAGS]).needed("task's CALL")
        todo = list(dict.fromkeys(sources))
        with ThreadPoolExecutor(self._workers) as pool:
            found = pool.map(lambda source: self._compile(source, [*flags, *LIBRARY_FLAGS], adapter), todo)
            return dict(zip(todo, found, strict=True))

    def _compile(self, source: str, flags: Sequence[str], adapter: Path | None = None) -> Compiled:
        kept = self._folder / digest_of([source, list(flags), adapter.name if adapter else ""])
        failed = kept.with_suffix(".failed")
        if kept.exists():
            return Compiled(kept)
        if failed.exists():
            return Compiled(None, failed.read_text(encoding="utf-8"))
        with busy(), tempfile.TemporaryDirectory(prefix="ratchet-compile-") as scratch:
            result, made = self._run_compiler(Path(scratch), source, flags, adapter)
        if made is not None:
            write_whole(kept, made)
            return Compiled(kept)
        messages = _messages(result)
        if result.outcome != "timeout":  # another time it may be done
            write_whole(failed, messages.encode())
        return Compiled(None, messages)

    def _run_compiler(
        self, scratch: Path, source: str, flags: Sequence[str], adapter: Path | None
    ) -> tuple[BoxResult, bytes | None]:
        inputs, output = scratch / "in", scratch / "out"
        scratch.chmod(0o711)  # so that the box's own user gets through to what it is given
        inputs.mkdir()
        output.mkdir()
        (inputs / "candidate.c").write_text(source, encoding="utf-8", errors="replace")
        binds = [Bind(inputs, "/in"), Bind(output, "/out", writable=True)]
        linked = []
        if adapter is not None:
            binds.append(Bind(adapter, "/call/call.o"))
            linked = ["/call/call.o"]
        argv = ["gcc", *flags, *MESSAGE_FLAGS, "candidate.c", *linked, "-o", "/out/made", "-lm"]
        result = self._box.run(argv, binds=binds, limits=LIMITS, cwd="/in", python=False)
        if result.exit_code == NOT_FOUND:
            raise ToolMissingError("gcc is not installed, or not under /usr", "apt-get install gcc libc6-dev")
        return result, read_regular(output / "made") if result.outcome == "ok" else None


def _messages(result: BoxResult) -> str:
    if result.outcome == "timeout":
        return f"the compiler was not done after {LIMITS.wall_s:.0f} s"
    if result.outcome == "over_limit":
        return "the compiler's output was too long"
    messages = result.stderr.decode(errors="replace").replace("candidate.c:", "").strip()
    return messages[:DETAIL_CHARS] or f"the compiler ended with exit code {result.exit_code}"


def read_regular(path: Path) -> bytes | None:
    """A file that the box left; None if there is none, or if it is a link, a pipe or too large."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > LIBRARY_BYTES:
            return None
        return file.read(LIBRARY_BYTES)


def write_whole(path: Path, data: bytes) -> None:
    """Whole or not at all: another worker may be compiling the same."""
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(temporary).chmod(0o755)
    os.replace(temporary, path)
