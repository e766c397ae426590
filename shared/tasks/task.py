"""Loads a task folder: task.toml, harness/, verifier.py. It never imports a verifier: those run as programs
of their own processes, and `draw` asks one for instances.

task.toml:
    name = "trimul"            toolchain = "c" | "cuda" | "python" | "answer" (text scored by verifier.score)
    [score]    low, high: the bounds of a score       unit: what a person reads
    [attempt]  candidates, max_tokens, turns, step_s, limits equal in every arm
    [defaults] sections of a RunConfig that suit this task
    [seed_corpus] (optional) program that writes text for the seed model
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.config.settings import read_toml
from shared.errors import TaskError
from shared.messages.records import JsonObject
from shared.packaged import TOP, packaged

TASKS = packaged("tasks")
DRAW_TIMEOUT_S = 300


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScoreSection(Section):
    low: float = 0.0
    high: float = 1.0
    unit: str = "score"


class AttemptSection(Section):
    """What one attempt may cost; the same in every arm, never a knob."""

    candidates: int = Field(1, ge=0)  # publicly tried candidates; 0 where a trial would tell the answer
    requests: int = Field(8, ge=1)  # model replies
    max_tokens: int = Field(256, ge=1)  # of one reply
    turns: int = Field(8, ge=1)  # steps of the scaffold
    step_s: float = Field(10.0, gt=0)  # of one step, in the box
    step_memory_mb: int = Field(1024, ge=64)
    candidate_s: float = Field(20.0, gt=0)  # of one candidate's run
    candidate_memory_mb: int = Field(2048, ge=64)
    threads: int = Field(2, ge=1)  # that a candidate may use
    hidden: tuple[str, ...] = ()  # files of installed packages that no box shows: what instances are made of


class SeedCorpusSection(Section):
    """How the seed model is made: `program` prints lines of {"messages", "answer"} (argv: count seed)."""

    program: str = "seed_corpus.py"
    lines: int = Field(4000, ge=1)
    steps: int = Field(200, ge=1)
    target_loss: float = Field(0.0, ge=0)  # nats a token at which it may stop sooner; 0: it may not
    hidden: int = 128
    layers: int = 4
    vocabulary: int = 384


class TaskManifest(Section):
    name: str
    toolchain: str = "answer"
    summary: str = ""
    score: ScoreSection = ScoreSection()
    attempt: AttemptSection = AttemptSection()
    defaults: dict[str, Any] = Field(default_factory=dict)
    seed_corpus: SeedCorpusSection | None = None


@dataclass(frozen=True)
class Task:
    folder: Path
    manifest: TaskManifest

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def public(self) -> Path | None:
        """What scaffolds may read (bound at /public in their box), if the task has any."""
        folder = self.folder / "public"
        return folder if folder.is_dir() else None

    def program(self, name: str) -> Path | None:
        """An optional program of the task (data.py, baselines.py), if it has it."""
        path = self.folder / name
        return path if path.is_file() else None


def load_task(name: str) -> Task:
    """The task of that name under tasks/, or in that folder. Raises TaskError that gives a hint."""
    folder = Path(name) if (Path(name) / "task.toml").exists() else TASKS / name
    if not (folder / "task.toml").exists():
        known = ", ".join(sorted(path.parent.name for path in TASKS.glob("*/task.toml")))
        raise TaskError(f"unknown task {name!r}", f"known: {known}; or give a folder with a task.toml")
    try:
        manifest = TaskManifest.model_validate(read_toml(folder / "task.toml"))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise TaskError(f"{folder / 'task.toml'}: {'; '.join(lines)}") from None
    for part in ("verifier.py", "harness/harness.toml", "harness/scaffold.py"):
        if not (folder / part).exists():
            raise TaskError(
                f"task {manifest.name!r} has no {part}", f"add {folder / part}; `ratchet init` shows one"
            )
    return Task(folder.resolve(), manifest)


def draw(task: Task, split: str, count: int, seed: int) -> list[JsonObject]:
    """`count` instances of a split (train, gate, test), by the verifier in a process of its own.

    The public view only: what a verifier calls `draw` returns no labels. The same arguments give the same
    instances; another seed gives fresh ones. Fewer may come back where the split is exhausted.
    """
    instances = _ask(task, "", "draw", split, str(count), str(seed))
    if not isinstance(instances, list) or not all(isinstance(item, dict) for item in instances):
        raise TaskError(f"{task.name}: verifier.draw must return a list of JSON objects")
    return instances


def check_instances(task: Task, instances: list[JsonObject]) -> None:
    """Raises TaskError naming the first instance that the task's verifier can't take."""
    for instance, reason in zip(instances, _ask(task, json.dumps(instances), "check"), strict=True):
        if reason:
            raise TaskError(
                f"instance {instance.get('id', '?')}: {reason}", f"see {task.folder / 'README.md'}"
            )


def _ask(task: Task, text: str, *arguments: str) -> Any:
    command = [sys.executable, "-m", "shared.tasks.draw_program", str(task.folder), *arguments]
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=DRAW_TIMEOUT_S, cwd=TOP
    )
    if done.returncode != 0:
        raise TaskError(f"{task.name}: verifier.py failed to {arguments[0]}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)
