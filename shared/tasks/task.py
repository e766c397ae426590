"""Loads a task folder: task.toml, harness/, verifier.py. It never imports a verifier: those run as programs
of their own processes, and `draw` (draws.py) asks one for instances. A task is its resolved folder.

task.toml:
    name = "trimul"            toolchain = "c" | "cuda" | "python" | "answer" (text scored by verifier.score)
    [score]    low, high: the bounds of a score       unit: what a person reads
    [attempt]  candidates, max_tokens, turns, step_s, limits equal in every arm
    [defaults] sections of a RunConfig that suit this task
    [seed_corpus] (optional) program that writes text for the seed model
    [best_of_n]   (optional) settings of the arm best-of-n of `ratchet compare`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from shared.config.endpoints import LONGEST_S
from shared.config.settings import RunConfig, read_toml, without_retired
from shared.errors import SettingsError, TaskError
from shared.packaged import packaged

TASKS = packaged("tasks").resolve()  # the tasks that come with Ratchet

MANIFEST = "task.toml"
PARTS = ("verifier.py", "harness/harness.toml", "harness/scaffold.py")
SHOWN = 8  # task folders that a hint lists


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScoreSection(Section):
    low: float = Field(0.0, allow_inf_nan=False)
    high: float = Field(1.0, allow_inf_nan=False)  # the gate's statistics rest on both
    unit: str = "score"
    ranks_only: bool = False  # a higher score is better, but by how much means nothing


class AttemptSection(Section):
    """What one attempt may cost; the same in every arm, never a knob."""

    candidates: int = Field(1, ge=0)  # publicly tried candidates; 0 where a trial would reveal the answer
    requests: int = Field(8, ge=1)  # model replies
    max_tokens: int = Field(256, ge=1)  # of one reply
    turns: int = Field(8, ge=1)  # steps of the scaffold
    step_s: float = Field(10.0, gt=0, le=LONGEST_S)  # of one step, in the box
    step_memory_mb: int = Field(1024, ge=64)
    candidate_s: float = Field(20.0, gt=0, le=LONGEST_S)  # of one candidate's run
    candidate_memory_mb: int = Field(2048, ge=64)
    threads: int = Field(2, ge=1)  # that a candidate may use
    hidden: tuple[str, ...] = ()  # files of installed packages that no box shows: sources of instances


class SeedCorpusSection(Section):
    """How the seed model is made: `program` prints lines of {"messages", "answer"} (argv: count seed)."""

    program: str = "seed_corpus.py"
    lines: int = Field(4000, ge=1)
    steps: int = Field(200, ge=1)
    batch: int = Field(32, ge=1)  # lines a step
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
    defaults: Annotated[dict[str, Any], AfterValidator(without_retired)] = Field(
        default_factory=dict
    )  # a folder of an older version still runs
    seed_corpus: SeedCorpusSection | None = None
    best_of_n: dict[str, Any] = Field(default_factory=dict)  # settings; "N" is as many as a budget holds


@dataclass(frozen=True)
class Task:
    folder: Path  # resolved
    manifest: TaskManifest

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def reference(self) -> str:
        """What a run's config names it by, for load_task: one of Ratchet's own by its name, so that another
        machine finds its copy; every other by its folder."""
        return self.folder.name if self.folder.parent == TASKS else str(self.folder)

    @property
    def public(self) -> Path | None:
        """What scaffolds may read (bound at /public in their box), if the task has any."""
        folder = self.folder / "public"
        return folder if folder.is_dir() else None

    def program(self, name: str) -> Path | None:
        """An optional program of the task (data.py, baselines.py), if it has it."""
        path = self.folder / name
        return path if path.is_file() else None


def find_task(text: str) -> Task:
    """The task that a person named: a folder, seen from here, or else one of Ratchet's own by its name.
    Raises TaskError with a hint."""
    folder = Path(text).expanduser()
    if (folder / MANIFEST).is_file():
        return _load(folder)
    if text in own_names():
        return _load(TASKS / text)
    beside = [path.parent for path in sorted(Path.cwd().glob(f"*/{MANIFEST}"))]
    beside += [path.parent for path in sorted(Path.cwd().glob(f"tasks/*/{MANIFEST}"))]
    here = [f"./{path.relative_to(Path.cwd())}" for path in beside[:SHOWN]]
    folders = f"; task folders here: {', '.join(here)}" if here else ""
    raise TaskError(
        f"unknown task {text!r}",
        f"known: {', '.join(own_names())}; or give a folder with a task.toml{folders}",
    )


def load_task(reference: str) -> Task:
    """The task that a run's config names (Task.reference), wherever the caller's working directory is: an
    absolute folder, or one of Ratchet's own by its name. Raises TaskError with a hint."""
    folder = TASKS / reference if reference in own_names() else Path(reference)
    if not (folder.is_absolute() and (folder / MANIFEST).is_file()):
        raise TaskError(
            f"unknown task {reference!r}",
            f"known: {', '.join(own_names())}; or the absolute path of a folder with a task.toml",
        )
    return _load(folder)


def texts_of(task: Task) -> dict[str, bytes]:
    """The files of its folder that decisions rest on, by relative path."""
    paths = [
        task.folder / MANIFEST,
        task.folder / "verifier.py",
        *sorted((task.folder / "harness").rglob("*")),
    ]
    return {
        path.relative_to(task.folder).as_posix(): path.read_bytes()
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }


def with_limits(task: Task, limits: Mapping[str, int | float]) -> Task:
    """The task with other limits of an attempt (RunConfig.attempt), the same in every arm. Raises
    SettingsError."""
    if not limits:
        return task
    known = {name: value for name, value in task.manifest.attempt.model_dump().items() if name != "hidden"}
    if strange := sorted(set(limits) - set(known)):
        raise SettingsError(f"attempt.{strange[0]} is no limit", f"there are {', '.join(known)}")
    try:
        attempt = AttemptSection.model_validate(task.manifest.attempt.model_dump() | dict(limits))
    except ValidationError as error:
        lines = [f"attempt.{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise SettingsError("; ".join(lines)) from None
    return Task(task.folder, task.manifest.model_copy(update={"attempt": attempt}))


def task_of(config: RunConfig) -> Task:
    """The task of a run, with the run's limits."""
    return with_limits(load_task(config.run.task), config.attempt)


def own_names() -> list[str]:
    """The tasks that come with Ratchet."""
    return sorted(path.parent.name for path in TASKS.glob(f"*/{MANIFEST}"))


def _load(folder: Path) -> Task:
    folder = folder.resolve()
    try:
        manifest = TaskManifest.model_validate(read_toml(folder / MANIFEST))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise TaskError(f"{folder / MANIFEST}: {'; '.join(lines)}") from None
    for part in PARTS:
        if not (folder / part).is_file():
            raise TaskError(
                f"task {manifest.name!r} has no {part}", f"add {folder / part}; `ratchet init` shows one"
            )
    return Task(folder, manifest)
