"""Measures the shape of this repository and fails above the bounds of `[tool.structure]` in pyproject.toml:
source files a folder, lines a file and a function, import circles, imports inside functions that no heavy
package explains. `make check` runs it; `python tools/structure.py FOLDER` measures another repository.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import grimp

SOURCES = {".py", ".c", ".h", ".cu", ".sh", ".j2"}
SHOWN = 3  # of each measure, the largest first


@dataclass(frozen=True)
class Bounds:
    """`[tool.structure]`. The folders `many_files` (a corpus) may hold any number. A function may import what
    is `heavy`, or needs something heavy; in `entry_points`, which start fast, whatever one command needs."""

    packages: list[str]
    entry_points: list[str]
    heavy: list[str]
    many_files: list[str]
    folder_files: int
    file_lines: int
    function_lines: int


@dataclass(frozen=True)
class Measure:
    """One thing that was measured: its lines, largest first, and how many of them are out of bounds."""

    title: str
    lines: list[str]
    broken: int


def main(root: Path) -> int:
    """Prints every measure; the exit code is 1 where one is out of bounds."""
    bounds = Bounds(**tomllib.loads((root / "pyproject.toml").read_text())["tool"]["structure"])
    files = source_files(root)
    sys.path.insert(0, str(root))
    graph = grimp.build_graph(*bounds.packages, include_external_packages=True, cache_dir=None)
    measures = [
        folders(files, bounds),
        long_files(root, files, bounds.file_lines),
        long_functions(root, files, bounds.function_lines),
        circles(graph, bounds.packages),
        late_imports(root, files, graph, bounds),
    ]
    for measure in sorted(measures, key=lambda measure: measure.broken > 0):  # what is wrong comes last
        print(f"{measure.title}: {measure.broken or 'none'} out of bounds")
        for line in measure.lines[: max(SHOWN, measure.broken)]:
            print(f"  {line}")
    return int(any(measure.broken for measure in measures))


def source_files(root: Path) -> list[PurePosixPath]:
    """What git tracks, or would track; an empty `__init__.py` is no source."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")
    found = [PurePosixPath(name) for name in listed if PurePosixPath(name).suffix in SOURCES]
    return [path for path in sorted(set(found)) if (root / path).is_file() and (root / path).stat().st_size]


def folders(files: Sequence[PurePosixPath], bounds: Bounds) -> Measure:
    held = Counter(str(path.parent) for path in files if str(path.parent) not in bounds.many_files)
    return _sized("source files a folder", held, bounds.folder_files)


def long_files(root: Path, files: Sequence[PurePosixPath], most: int) -> Measure:
    return _sized("lines a file", {str(path): len(_text(root, path).splitlines()) for path in files}, most)


def long_functions(root: Path, files: Sequence[PurePosixPath], most: int) -> Measure:
    sizes = {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in files
        for node in _functions(root, path)
    }
    return _sized("lines a function", sizes, most)


def circles(graph: grimp.ImportGraph, packages: Sequence[str]) -> Measure:
    """Between the modules and packages beside each other in each package: the fewest imports to take out."""
    ours = sorted(name for name in graph.modules if name.split(".")[0] in packages)
    lines = [
        f"{one} imports {other}" for package in ours for one, other in graph.nominate_cycle_breakers(package)
    ]
    lines += [  # a package's own __init__ stands beside nothing
        f"{package} imports {other}, which imports {package}"
        for package in ours
        for other in graph.find_modules_directly_imported_by(package)
        if other.startswith(f"{package}.") and graph.chain_exists(importer=other, imported=package)
    ]
    return Measure("import circles", sorted(lines), len(lines))


def late_imports(
    root: Path, files: Sequence[PurePosixPath], graph: grimp.ImportGraph, bounds: Bounds
) -> Measure:
    """Imports inside functions, of what loads as quickly at the top of the file."""
    heavy = set(bounds.heavy)
    lines = [
        f"{path}:{line} imports {name} inside a function"
        for path in files
        if path.parts[0] in bounds.packages and not str(path).startswith(tuple(bounds.entry_points))
        for function in _functions(root, path)
        for line, name in _imported(function)
        if not _is_heavy(name, graph, heavy)
    ]
    lines = list(dict.fromkeys(lines))  # a function inside a function is met twice
    return Measure("light imports inside functions", lines, len(lines))


def _is_heavy(name: str, graph: grimp.ImportGraph, heavy: set[str]) -> bool:
    while name not in graph.modules and "." in name:
        name = name.rpartition(".")[0]
    if name.split(".")[0] in heavy or name not in graph.modules:
        return name.split(".")[0] in heavy
    return any(needed.split(".")[0] in heavy for needed in graph.find_upstream_modules(name))


def _imported(function: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _functions(root: Path, path: PurePosixPath) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    if path.suffix != ".py":
        return []
    nodes = ast.walk(ast.parse(_text(root, path)))
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _text(root: Path, path: PurePosixPath) -> str:
    return (root / path).read_text(encoding="utf-8")


def _sized(title: str, sizes: dict[str, int] | Counter[str], most: int) -> Measure:
    ordered = sorted(sizes.items(), key=lambda pair: -pair[1])
    lines = [f"{size} {name}" for name, size in ordered]
    return Measure(f"{title} (at most {most})", lines, sum(size > most for size in sizes.values()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1]).resolve()))
