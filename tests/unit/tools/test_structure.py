"""tools/structure.py on small repositories, each with one thing wrong."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "tools" / "structure.py"
BOUNDS = """[tool.structure]
packages = ["planted"]
folder_files = 15
file_lines = 300
function_lines = 60
many_files = ["planted/corpus"]
entry_points = ["planted/cli/"]
heavy = ["sqlite3"]
"""
Plant = Callable[[dict[str, str]], tuple[int, str]]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Measures a repository that holds these files; the exit code and what was printed."""

    def measure(files: dict[str, str]) -> tuple[int, str]:
        for name, text in {"pyproject.toml": BOUNDS, "planted/__init__.py": "", **files}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
        done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True)
        assert not done.stderr
        return done.returncode, done.stdout

    return measure


def test_a_circle_of_modules_is_out_of_bounds(plant: Plant) -> None:
    code, printed = plant({"planted/a.py": "import planted.b\n", "planted/b.py": "import planted.a\n"})

    assert code == 1
    assert "import circles: 1 out of bounds" in printed


def test_a_circle_of_packages_is_out_of_bounds_though_no_module_is_in_one(plant: Plant) -> None:
    empty = {"planted/p/__init__.py": "", "planted/q/__init__.py": "", "planted/q/low.py": "ONE = 1\n"}
    code, printed = plant(
        empty
        | {
            "planted/p/high.py": "import planted.q.low\n",
            "planted/p/low.py": "ONE = 1\n",
            "planted/q/high.py": "import planted.p.low\n",
        }
    )

    assert code == 1
    assert "import circles: 1 out of bounds" in printed


def test_a_package_that_imports_a_module_which_imports_it_is_a_circle(plant: Plant) -> None:
    code, printed = plant({"planted/__init__.py": "import planted.a\n", "planted/a.py": "import planted\n"})

    assert code == 1
    assert "planted imports planted.a, which imports planted" in printed


def test_a_folder_of_thirty_files_is_out_of_bounds(plant: Plant) -> None:
    code, printed = plant({f"planted/m{i}.py": "ONE = 1\n" for i in range(30)})

    assert code == 1
    assert "30 planted\n" in printed


def test_a_corpus_may_hold_any_number_of_files(plant: Plant) -> None:
    assert plant({f"planted/corpus/m{i}.py": "ONE = 1\n" for i in range(30)})[0] == 0


@pytest.mark.parametrize(("lines", "code"), [(300, 0), (301, 1)])
def test_a_file_has_at_most_300_lines(plant: Plant, lines: int, code: int) -> None:
    assert plant({"planted/a.c": "int a;\n" * lines})[0] == code


@pytest.mark.parametrize(("lines", "code"), [(60, 0), (61, 1)])
def test_a_function_has_at_most_60_lines(plant: Plant, lines: int, code: int) -> None:
    assert plant({"planted/a.py": "def f():\n" + "    a = 1\n" * (lines - 1)})[0] == code


def test_a_function_imports_only_what_is_heavy(plant: Plant) -> None:
    def late(name: str) -> str:
        return f"def f():\n    import {name}\n"

    allowed = {
        "planted/a.py": late("sqlite3"),  # heavy itself
        "planted/b.py": "import sqlite3\n",
        "planted/c.py": late("planted.b"),  # needs it
        "planted/cli/__init__.py": "",
        "planted/cli/main.py": late("json"),  # an entry point
    }
    assert plant(allowed)[0] == 0

    code, printed = plant({"planted/d.py": late("json")})
    assert code == 1
    assert "planted/d.py:2 imports json inside a function" in printed
