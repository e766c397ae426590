"""The base model of a run, as a bundle: a folder that the user has, or the task's seed model, which is built
once per content (corpus, harness, sizes, recipe, library versions) and found again by later runs.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from shared.config.settings import RunConfig
from shared.errors import TrainingError
from shared.messages.records import digest_of
from shared.store.store import Store, put_bundle, read_folder
from shared.tasks.task import SeedCorpusSection, Task, load_task
from trainer_service.base.weights_check import check_model_folder
from trainer_service.child import run_child
from trainer_service.specs import SeedResult, SeedSpec

RECIPE = ("seed_model.py", "tokenizer.py")  # the files of this folder that decide what is built
LIBRARIES = ("torch", "transformers", "tokenizers")


def base_bundle(config: RunConfig, store: Store, cache_dir: Path) -> tuple[str, float]:
    """The digest of the run's base model, and the seconds that were spent on training it now."""
    if config.model.base == "seed":
        return seed_bundle(load_task(config.run.task), store, cache_dir, config.training.threads)
    folder = Path(config.model.base)
    check_model_folder(folder)
    return put_bundle(store, read_folder(folder)), 0.0


def seed_bundle(task: Task, store: Store, cache_dir: Path, threads: int) -> tuple[str, float]:
    section = task.manifest.seed_corpus
    if section is None:
        raise TrainingError(
            f"task {task.name!r} has no seed corpus to build a model from",
            "add [seed_corpus] to its task.toml, or set model.base to a folder or model.url to an endpoint",
        )
    key = seed_key(task, section)
    known = store.lookup("base", key)
    if known is not None and store.has(known):
        return known, 0.0
    folder, train_s = cache_dir / "bases" / key, 0.0
    if not folder.exists():
        train_s = build_seed(task, section, folder, threads)
    check_model_folder(folder)
    return store.bind("base", key, put_bundle(store, read_folder(folder))), train_s


def seed_key(task: Task, section: SeedCorpusSection) -> str:
    """Names what would be built: two tasks with one key have the same seed model."""
    sources = [task.folder / section.program, *sorted(task.folder.glob("*.py"))]
    for name in ("harness", "public"):  # what a corpus program may read
        sources += [path for path in sorted((task.folder / name).rglob("*")) if path.is_file()]
    recipe = [Path(__file__).with_name(name) for name in RECIPE]
    return digest_of(
        {
            "sources": {p.relative_to(task.folder).as_posix(): _sha256(p) for p in sources},
            "recipe": [_sha256(path) for path in recipe],
            "section": section.model_dump(mode="json"),
            "libraries": {name: version(name) for name in LIBRARIES},
        }
    )


def build_seed(task: Task, section: SeedCorpusSection, folder: Path, threads: int) -> float:
    """Builds the model in a child and moves it to `folder`, whole; returns the seconds it trained."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".build-"))
    try:
        spec = SeedSpec(
            corpus=task.folder / section.program,
            out=work / "model",
            result=work / "result.json",
            threads=threads,
            **section.model_dump(exclude={"program"}),
        )
        (work / "spec.json").write_text(spec.model_dump_json())
        run_child("trainer_service.base.seed_model", work / "spec.json", threads=threads)
        result = SeedResult.model_validate_json(spec.result.read_bytes())
        if result.refusal:
            raise TrainingError(result.refusal)
        if not folder.exists():  # else another run was quicker
            spec.out.rename(folder)
        return result.train_s
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
