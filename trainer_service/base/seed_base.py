"""The seed model of a task as a base: built in a child once per content (corpus, harness, sizes, recipe,
library versions), and found again by later runs.
"""

from __future__ import annotations

import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from shared.errors import TrainingError
from shared.messages.records import digest_of
from shared.store.files import file_digest
from shared.tasks.task import SeedCorpusSection, Task
from trainer_service.child import run_child
from trainer_service.specs import SeedResult, SeedSpec

RECIPE = ("seed_model.py", "tokenizer.py")  # the files of this folder that decide what is built
LIBRARIES = ("torch", "transformers", "tokenizers")


def seed_folder(task: Task, cache_dir: Path) -> tuple[Path, float]:
    """The model's folder, and the seconds that were spent on training it now."""
    folder = cache_dir / "bases" / seed_key(task)
    if folder.exists():
        return folder, 0.0
    return folder, build_seed(task, folder)


def seed_key(task: Task) -> str:
    """Names what would be built: two tasks with one key have the same seed model. Raises TrainingError."""
    section = require_corpus(task)
    sources = [task.folder / section.program, *sorted(task.folder.glob("*.py"))]
    for name in ("harness", "public"):  # what a corpus program may read
        sources += [path for path in sorted((task.folder / name).rglob("*")) if path.is_file()]
    recipe = [Path(__file__).with_name(name) for name in RECIPE]
    return digest_of(
        {
            "sources": {p.relative_to(task.folder).as_posix(): file_digest(p) for p in sources},
            "recipe": [file_digest(path) for path in recipe],
            "section": section.model_dump(mode="json"),
            "libraries": {name: version(name) for name in LIBRARIES},
        }
    )


def require_corpus(task: Task) -> SeedCorpusSection:
    """Raises TrainingError where the task has none."""
    section = task.manifest.seed_corpus
    if section is None:
        raise TrainingError(
            f"task {task.name!r} has no seed corpus to build a model from",
            "add [seed_corpus] to its task.toml, or set model.base to a model or model.url to an endpoint",
        )
    return section


def build_seed(task: Task, folder: Path) -> float:
    """Builds the model in a child and moves it to `folder`, whole; returns the seconds it trained."""
    section = require_corpus(task)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".build-"))
    try:
        spec = SeedSpec(
            corpus=task.folder / section.program,
            out=work / "model",
            result=work / "result.json",
            **section.model_dump(exclude={"program"}),
        )
        (work / "spec.json").write_text(spec.model_dump_json(), encoding="utf-8")
        run_child("trainer_service.base.seed_model", work / "spec.json", threads=1)
        result = SeedResult.model_validate_json(spec.result.read_bytes())
        if result.refusal:
            raise TrainingError(result.refusal)
        if not folder.exists():  # another run was quicker
            spec.out.rename(folder)
        return result.train_s
    finally:
        shutil.rmtree(work, ignore_errors=True)
