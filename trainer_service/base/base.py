"""The base model of a run: found or made once, kept once on this machine, put into the store file by file.

It lies in `cache_dir/bundles/<digest>`, where training and the local model server look for it; a store on the
same disk shares its bytes, one elsewhere gets a copy (docs/storage.md).
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from shared.config.settings import RunConfig
from shared.messages.records import canonical_json
from shared.store.files import copy_file, file_digest, link_or_copy
from shared.store.store import Store, put_folder
from shared.tasks.task import load_task
from trainer_service.base.model_files import check_model_folder, is_immutable, model_files
from trainer_service.base.pretrained import model_folder
from trainer_service.base.seed_base import seed_folder, seed_key
from trainer_service.base.targets_check import check_targets


def base_bundle(config: RunConfig, store: Store, cache_dir: Path) -> tuple[str, float]:
    """The digest of the run's base model, and the seconds that were spent on training it now.
    Raises ArtifactError, SettingsError, TrainingError or TaskError where it can't be made."""
    if config.model.base != "seed":
        folder = model_folder(config.model.base, cache_dir, config.training.threads)
        return _put(folder, config, store, cache_dir), 0.0
    task = load_task(config.run.task)
    key = seed_key(task)
    known = store.lookup("base", key)
    if known is not None and store.has(known):  # built by another machine, or before the cache was deleted
        return known, 0.0
    folder, train_s = seed_folder(task, cache_dir)
    return store.bind("base", key, _put(folder, config, store, cache_dir)), train_s


def _put(folder: Path, config: RunConfig, store: Store, cache_dir: Path) -> str:
    check_model_folder(folder)
    check_targets(folder, config.training.lora_targets)
    return put_folder(store, keep(folder, cache_dir), shared=True)


def keep(folder: Path, cache_dir: Path) -> Path:
    """The model as `cache_dir/bundles/<digest>`. It shares the bytes of immutable files (our own cache's, a
    hub's) and is a copy of everything else, so that a folder which changes later changes no run."""
    files = model_files(folder)
    bundles = cache_dir / "bundles"
    kept = bundles / _bundle_digest(files)
    if kept.exists():
        return kept
    bundles.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=bundles, prefix=".tmp-"))
    try:
        for name, path in files.items():
            take = link_or_copy if is_immutable(path, cache_dir) else copy_file
            take(path, temporary / name)
        temporary.chmod(0o755)
        if not kept.exists():  # another run was quicker
            temporary.rename(kept)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return kept


def _bundle_digest(files: Mapping[str, Path]) -> str:
    """The digest that put_folder will give these files."""
    listing = {
        name: {"sha256": file_digest(path), "size_bytes": path.stat().st_size} for name, path in files.items()
    }
    return hashlib.sha256(canonical_json({"bundle": 1, "files": listing})).hexdigest()
