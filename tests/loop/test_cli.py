"""The command line: every mistake is one clear message that gives a hint, and a non-zero exit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet.program import main
from ratchet.runs import folder as runs
from ratchet.runs.request import RunRequest
from shared.config.settings import load_config
from shared.ledger.ledger import Ledger
from shared.messages.events import EvaluationRequested, RunStarted
from shared.messages.records import Release

PROGRAM = [str(Path(sys.executable).with_name("ratchet"))]


def ratchet(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | variables
    command = [*PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, env=environment)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "tea-making"], 2, "lawbench, trimul"),
        (["run", "trimul", "--set", "gate.alpha=7"], 2, "gate.alpha"),
        (["run", "trimul", "--set", "alpha"], 2, "section.key=value"),
        (["run", "trimul", "--levers", "brain"], 2, "run.levers"),
        (["run", "trimul", "--config", "none.toml"], 2, "none.toml"),
        (["run", "trimul", "--name", "../up"], 2, "not a name"),
        (["run", "trimul", "--broker", "http://here"], 2, "not a broker URL"),
        (["run", "trimul", "--broker", "redis://127.0.0.1:1/0"], 2, "127.0.0.1:1/0 can't be used"),
        (["run", "trimul", "--broker", "redis://:hush@127.0.0.1:1/0"], 2, "env:REDIS_PASSWORD"),
        (["run", "trimul", "--set", "stack.bucket=x"], 2, "stack.bucket"),
        (["migrate", "--ledger", "postgresql+psycopg://127.0.0.1:1/x"], 74, "is the database up?"),
        (["run", "trimul", "--set", "model.url='http://127.0.0.1:1/v1'"], 2, "correct model.url"),
        (["show", "nothing"], 2, "runs there: none yet"),
        (["resume", "nothing"], 2, "no run"),
        (["export", "nothing", "out"], 2, "no run"),
        (["eval", "trimul", "--release", "seed", "--instances", "none.jsonl"], 2, "none.jsonl"),
        (["bench", "speed"], 2, "known:"),
        (["validate", "tea-making"], 2, "lawbench, trimul"),
        (["no-such-command"], 2, "no-such-command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_named_with_a_hint(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["ratchet", *arguments])
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr().err
    assert end.value.code == code
    assert message in told
    assert "hush" not in told
    assert not list(tmp_path.glob("runs/*"))  # nothing was begun


def test_a_mistake_ends_the_process_with_its_exit_code(tmp_path: Path) -> None:
    done = ratchet("run", "trimul", "--set", "gate.alpah=0.1", cwd=tmp_path)
    assert done.returncode == 2
    assert "gate.alpah" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("task", "code", "message"),
    [("trimul", 69, "hint: apt-get install gcc"), ("words", 78, "hint: apt-get install bubblewrap")],
)
def test_a_missing_tool_is_named_with_a_hint(task: str, code: int, message: str, tmp_path: Path) -> None:
    assert ratchet("init", "words", cwd=tmp_path).returncode == 0
    done = ratchet("run", task, cwd=tmp_path, PATH=str(tmp_path))
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_can_not_hold_runs_is_named(tmp_path: Path) -> None:
    assert ratchet("init", "words", cwd=tmp_path).returncode == 0
    (tmp_path / "runs").write_text("a file")
    done = ratchet("run", "words", cwd=tmp_path)
    assert done.returncode == 2
    assert "'--root': dir 'runs' is a file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_instance_that_the_task_can_not_take_is_named(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text('{"B": 1, "N": 16, "C": 32, "mask": "ones"}\n')
    done = ratchet("eval", "trimul", "--release", "seed", "--instances", "some.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert "instance some-1: distribution must be one of normal, cauchy, not None" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_run_has_one_driver_and_an_evaluation_is_not_resumed(tmp_path: Path) -> None:
    config = load_config([{"run": {"task": "trimul"}}])
    release = Release(base="b", harness="h")
    for name, event in (
        ("mine", RunStarted(run_id="mine", config="c")),
        ("eval-1", EvaluationRequested(run_id="eval-1", config="c", release=release, instances="i")),
    ):
        folder = runs.create(RunRequest(config, "trimul", tmp_path / "runs", name))
        ledger = Ledger(folder.ledger_url)
        ledger.create_schema()
        ledger.create_run(name)
        ledger.submit([event])
    with runs.sole_driver(runs.find("mine", tmp_path / "runs")):
        busy = ratchet("resume", "mine", cwd=tmp_path)
    assert (busy.returncode, "follow it with `ratchet watch`" in busy.stderr) == (2, True)
    evaluation = ratchet("resume", "eval-1", cwd=tmp_path)
    assert (evaluation.returncode, "`ratchet eval` makes it anew" in evaluation.stderr) == (2, True)


def test_help_teaches_every_command_and_loads_nothing_heavy(tmp_path: Path) -> None:
    heavy = "('torch', 'numpy', 'celery')"
    code = f"import sys; from ratchet import cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
    shown = ratchet("--help", cwd=tmp_path).stdout
    assert "resume" in shown
    assert "..." not in shown.partition("Commands:")[2]  # no sentence is cut at 80 columns


@pytest.mark.slow
def test_a_bad_line_of_instances_is_named_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text('{"N": 16}\nnot json\n')
    done = ratchet("eval", "trimul", "--release", "seed", "--instances", "some.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert "line 2 is not JSON" in done.stderr


def test_a_dry_run_prints_the_config_and_what_each_step_costs(tmp_path: Path) -> None:
    done = ratchet("run", "trimul", "--dry-run", "--json", "--set", "gate.alpha=0.01", cwd=tmp_path)
    plan = json.loads(done.stdout)
    assert plan["config"]["gate"]["alpha"] == 0.01
    assert sum(step["evaluations"] for step in plan["steps"]) > 0
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_new_task_is_valid_and_a_broken_one_is_not(tmp_path: Path) -> None:
    assert ratchet("init", "words", cwd=tmp_path).returncode == 0
    assert ratchet("validate", "words", cwd=tmp_path).returncode == 0
    assert ratchet("init", "words", cwd=tmp_path).returncode == 2  # never overwritten
    verifier = tmp_path / "words" / "verifier.py"
    verifier.write_text(verifier.read_text().replace('f"{split}-{seed}-{i}"', 'f"{seed}-{i}"'))
    done = ratchet("validate", "words", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert "stands in train and in gate" in json.loads(done.stdout)["checks"][-1]["detail"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "gb18030"])
def test_a_terminal_without_a_character_is_told_all_the_same(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"fact": "半"}\n', encoding="utf-8")
    command = [*PROGRAM, "data", "lawbench", "--from", "\u2014.jsonl", "--out", "o"]
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=120, env=os.environ | plain)
    assert done.returncode == 2
    assert b"no such file or folder" in done.stderr
    assert b"Traceback" not in done.stderr
