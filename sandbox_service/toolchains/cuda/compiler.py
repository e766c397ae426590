"""Compiles CUDA candidates in the box: with nvcc to a cubin, and with g++ to a library that the CPU can run.

It runs none of it. The CUDA toolkit is found once, by nvcc's place, and the box sees it
read-only. What was compiled is kept by the digest of all that went into it, as with C.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from sandbox_service.toolchains.c.compiler import NOT_FOUND, CCompiler, Compiled, read_regular, write_whole
from sandbox_service.toolchains.cuda import ptxas
from shared.box.box import Bind, Box, BoxResult, Limits
from shared.box.machine_lock import busy
from shared.errors import BoxError, TaskError, ToolMissingError
from shared.messages.records import digest_of

HERE = Path(__file__).resolve().parent
CANARY = HERE / "canary.cu"
INCLUDE = HERE / "include"  # headers of ours that device code may include
STANDIN = HERE / "standin_include"  # the folder of headers that stand in for CUDA's, and for ours, on a CPU
PLACES = ("/usr/local/cuda", "/opt/cuda")
NVCC_FLAGS = ("-cubin", "-Xptxas", "-v", "-std=c++17", "-Wno-deprecated-gpu-targets")
GXX_FLAGS = ("-std=c++20", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-w", "-fmax-errors=5")
GXX_MESSAGES = ("-fdiagnostics-color=never", "-fno-diagnostics-show-caret", "-isystem", "/standin")
# Templates make the compiler's memory and time grow without bound; these bounds leave room for honest ones.
LIMITS = Limits(wall_s=60, cpu_s=60, memory_mb=4096, processes=32, file_mb=64, output_bytes=400_000)
DETAIL_CHARS = 1500


@dataclass(frozen=True)
class Cubin(Compiled):
    """A cubin with ptxas' figures, or nvcc's messages."""

    kernels: dict[str, ptxas.KernelFigures] = field(default_factory=dict)


def find_nvcc() -> Path | None:
    """nvcc itself (a link is followed): on PATH, or where CUDA is usually installed."""
    found = shutil.which("nvcc") or next(
        (f"{place}/bin/nvcc" for place in PLACES if os.access(f"{place}/bin/nvcc", os.X_OK)), None
    )
    return Path(found).resolve() if found else None


class CudaCompiler:
    """Compiles in the box into `folder`, which may be deleted when nothing runs."""

    def __init__(self, box: Box, folder: Path, *, arch: str, workers: int = os.cpu_count() or 1) -> None:
        nvcc = find_nvcc()
        if nvcc is None:
            raise ToolMissingError("nvcc is not installed", "install the CUDA toolkit, or put nvcc on PATH")
        self._box, self._folder, self._workers = box, folder, workers
        self._nvcc, self._arch = nvcc, arch
        folder.mkdir(parents=True, exist_ok=True)

    def canary(self) -> Path:
        """The cubin of our own small kernel. Raises TaskError if nvcc does not know the architecture."""
        made = self.cubin(CANARY.read_text(encoding="utf-8"), ())
        if made.path is None and "gpu architecture" in made.error.lower():
            hint = f"`{self._nvcc} --list-gpu-arch` lists what it knows"
            raise TaskError(f"nvcc does not know the architecture {self._arch!r}: {made.error}", hint)
        return made.needed("canary kernel")

    def cubins(self, sources: Iterable[str], flags: Sequence[str]) -> dict[str, Cubin]:
        """Every distinct source, as many at a time as there are cores."""
        todo = list(dict.fromkeys(sources))
        with ThreadPoolExecutor(self._workers) as pool:
            return dict(zip(todo, pool.map(lambda source: self.cubin(source, flags), todo), strict=True))

    def cubin(self, source: str, flags: Sequence[str]) -> Cubin:
        argv = [str(self._nvcc), f"-arch={self._arch}", *flags, *NVCC_FLAGS, "-I", "/include"]
        path, messages = self._made(source, "candidate.cu", argv, self._toolkit())
        if path is None:
            return Cubin(None, messages)
        figures = {name: ptxas.KernelFigures(**fields) for name, fields in json.loads(messages).items()}
        return Cubin(path, "", figures)

    def standin(self, text: str) -> Compiled:
        """A library with `ratchet_call` from C++ that includes the stand-in's header."""
        path, messages = self._made(
            text, "candidate.cpp", ["g++", *GXX_FLAGS, *GXX_MESSAGES], [_standin_bind()]
        )
        return Compiled(path, "" if path else messages)

    def driver(self) -> Path:
        """The program that loads a stand-in; the same as for C."""
        return CCompiler(self._box, self._folder).driver()

    def _toolkit(self) -> list[Bind]:
        home = self._nvcc.parents[1]
        own = [] if home.is_relative_to("/usr") else [Bind(home, str(home))]
        return [*own, Bind(INCLUDE, "/include")]

    def _made(
        self, source: str, name: str, argv: Sequence[str], binds: Sequence[Bind]
    ) -> tuple[Path | None, str]:
        """The file and its figures; or None and the compiler's messages."""
        kept = self._folder / digest_of([source, list(argv), _version(binds)])
        note, failed = kept.with_suffix(".json"), kept.with_suffix(".failed")
        if kept.exists() and note.exists():
            return kept, note.read_text(encoding="utf-8")
        if failed.exists():
            return None, failed.read_text(encoding="utf-8")
        with busy(), tempfile.TemporaryDirectory(prefix="ratchet-compile-") as scratch:
            result, made = self._run(Path(scratch), source, name, argv, binds)
        if made is not None:
            figures = ptxas.parse(result.stderr.decode(errors="replace"))
            write_whole(note, json.dumps({key: vars(kernel) for key, kernel in figures.items()}).encode())
            write_whole(kept, made)
            return kept, note.read_text(encoding="utf-8")
        messages = _messages(result, name)
        if result.outcome != "timeout":
            write_whole(failed, messages.encode())
        return None, messages

    def _run(
        self, scratch: Path, source: str, name: str, argv: Sequence[str], binds: Sequence[Bind]
    ) -> tuple[BoxResult, bytes | None]:
        inputs, output = scratch / "in", scratch / "out"
        scratch.chmod(0o711)
        inputs.mkdir()
        output.mkdir()
        (inputs / name).write_text(source, encoding="utf-8", errors="replace")
        places = [Bind(inputs, "/in"), Bind(output, "/out", writable=True), *binds]
        result = self._box.run([*argv, name, "-o", "/out/made"], binds=places, limits=LIMITS, cwd="/in")
        if result.exit_code == NOT_FOUND:
            raise ToolMissingError(f"{argv[0]} is not to be seen in the box", "apt-get install g++")
        if result.outcome == "crashed" and not result.stderr.strip():
            raise BoxError(f"{argv[0]} ended with exit code {result.exit_code} and wrote nothing")
        return result, read_regular(output / "made") if result.outcome == "ok" else None


def _standin_bind() -> Bind:
    return Bind(STANDIN, "/standin")


def _version(binds: Sequence[Bind]) -> list[str]:
    """Our headers go into what is compiled, so they go into its name."""
    ours = [bind.source for bind in binds if bind.source in (INCLUDE, STANDIN)]
    return [path.read_text(encoding="utf-8") for folder in ours for path in sorted(folder.iterdir())]


def _messages(result: BoxResult, name: str) -> str:
    if result.outcome == "timeout":
        return f"the compiler was not done after {LIMITS.wall_s:.0f} s"
    if result.outcome == "over_limit":
        return "the compiler's output was too long"
    lines = result.stderr.decode(errors="replace").replace(f"{name}:", "").replace(name, "").splitlines()
    messages = "\n".join(line for line in lines if line.strip() and "ptxas info" not in line)
    return messages.strip()[:DETAIL_CHARS] or f"the compiler ended with exit code {result.exit_code}"
