"""The wheel, built from this clone and installed into an environment of its own, works away from the clone.
Dependencies come from the development environment, whose folder a .pth file adds; the clone is not on the
path.
"""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "ratchet",
    "shared",
    "agent_service",
    "feedback_service",
    "sandbox_service",
    "trainer_service",
    "benchmarks",
)
ELSEWHERE = {"tasks": "ratchet/packaged/tasks", "k8s": "ratchet/packaged/k8s"}
UV = str(Path(sys.executable).with_name("uv"))
SMALL = {
    "run.generations": 1,
    "rollouts.instances": 2,
    "rollouts.attempts": 2,
    "rollouts.shard": 2,
    "gate.screen_instances": 2,
    "gate.round_instances": 2,
    "gate.max_pairs": 2,
    "gate.test_instances": 2,
    "training.steps": 2,
}
IMPORTED = """
import importlib, json, sys
print(json.dumps([sys.path, [importlib.import_module(name).__file__ for name in sys.argv[1:]]]))
"""
SEEN_INSIDE = """
import sys
from shared.box.box import Limits
from shared.box.open import open_box
look = "import os, sys, numpy, shared; [print(*os.listdir(folder)) for folder in sys.argv[1:]]"
done = open_box().run([sys.executable, "-I", "-c", look, *sys.argv[1:]], limits=Limits(memory_mb=2048))
sys.stderr.write(done.stderr.decode())
print(done.stdout.decode(), end="")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [UV, "build", "-q", "--wheel", "--offline", "--no-build-isolation", "-o", str(out), str(ROOT)]
    subprocess.run(build, check=True, cwd=ROOT, env={**os.environ, "VIRTUAL_ENV": sys.prefix})
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment with nothing installed but the wheel."""
    home = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(home)
    install = [UV, "pip", "install", "-q", "--offline", "--no-deps", "--python", str(home / "bin" / "python")]
    subprocess.run([*install, str(wheel)], check=True)
    packages = next(home.glob("lib/python3*/site-packages"))
    (packages / "dependencies.pth").write_text(f"{Path(np.__file__).parents[1]}\n")
    return home / "bin"


def ask(bin_folder: Path, program: str, *arguments: str, cwd: Path) -> str:
    """What the program printed; it must end well."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    argv = [str(bin_folder / program), *arguments]
    done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    argv = ["git", "ls-files", "--", *PACKAGES, *ELSEWHERE]
    tracked = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    placed = {
        "/".join([ELSEWHERE.get(top, top), *rest]) for top, *rest in (name.split("/") for name in tracked)
    }

    assert placed - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_every_package_comes_from_the_wheel(bin_folder: Path, tmp_path: Path) -> None:
    path, files = json.loads(ask(bin_folder, "python", "-I", "-c", IMPORTED, *PACKAGES, cwd=tmp_path))

    assert str(ROOT) not in path
    assert all(Path(file).is_relative_to(bin_folder.parent) for file in files)


def test_the_command_line_lists_its_commands(bin_folder: Path, tmp_path: Path) -> None:
    assert "doctor" in ask(bin_folder, "ratchet", "--help", cwd=tmp_path)


def test_the_machine_is_found_ready(bin_folder: Path, tmp_path: Path) -> None:
    ask(bin_folder, "ratchet", "doctor", cwd=tmp_path)


@pytest.mark.slow
def test_a_new_task_is_made_and_tried(bin_folder: Path, tmp_path: Path) -> None:
    ask(bin_folder, "ratchet", "init", "mine", cwd=tmp_path)

    assert "ok   attempt" in ask(bin_folder, "ratchet", "validate", "mine", cwd=tmp_path)


def test_its_tasks_and_manifests_are_found(bin_folder: Path, tmp_path: Path) -> None:
    code = "from shared.packaged import packaged; print(packaged('tasks'), packaged('k8s'))"
    tasks, k8s = map(Path, ask(bin_folder, "python", "-I", "-c", code, cwd=tmp_path).split())

    assert (tasks / "trimul" / "task.toml").is_relative_to(bin_folder.parent)
    assert (tasks / "trimul" / "task.toml").is_file()
    assert (k8s / "base" / "kustomization.yaml").is_file()


def test_a_box_sees_shared_alone_of_an_installed_ratchet(bin_folder: Path, tmp_path: Path) -> None:
    packages = next(bin_folder.parent.glob("lib/python3*/site-packages"))
    folders = [str(packages / name) for name in PACKAGES]
    seen = ask(bin_folder, "python", "-c", SEEN_INSIDE, *folders, cwd=tmp_path).splitlines()

    assert [name for name, names in zip(PACKAGES, seen, strict=True) if names] == ["shared"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_on_trimul_ends_and_is_reported(bin_folder: Path, tmp_path: Path) -> None:
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    shown = json.loads(
        ask(bin_folder, "ratchet", "run", "trimul", "--name", "small", "--json", *settings, cwd=tmp_path)
    )
    ask(bin_folder, "ratchet", "report", "small", cwd=tmp_path)

    assert shown["state"] == "done"
    assert {path.name for path in (tmp_path / "runs/small/report").iterdir()} >= {"report.md", "arms.png"}
