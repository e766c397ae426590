"""Immutable, content-addressed objects: JSON records, texts and bundles (folders). A local folder here;
an S3 bucket behind the same Protocol elsewhere. It knows nothing of jobs or runs.

An object is named by the sha256 of its bytes. A bundle is its files' objects first and then its manifest,
an object that lists them: what has no manifest does not exist. Names (`bind`) point at objects and are
written once: the first writer wins, later ones read what it wrote.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from shared.errors import ArtifactError, DecodeError, StoreUnavailableError
from shared.messages.records import canonical_json
from shared.store.files import FOR_ALL, copy_file, file_digest, link_or_copy

SHARED_BYTES = 1 << 20  # from this size on an unpacked file shares its bytes with the store
R = TypeVar("R", bound=BaseModel)


class Store(Protocol):
    """Bytes in, digest out. Raises StoreUnavailableError when it can't, ArtifactError when it must not."""

    def put(self, data: bytes) -> str: ...

    def get(self, digest: str) -> bytes:
        """The object's bytes, checked against the digest."""
        ...

    def has(self, digest: str) -> bool: ...

    def put_file(self, path: Path, shared: bool = False) -> str:
        """As put, of a file of any size, read piece by piece. `shared`: that file is not written to any more,
        so a store on the same disk may share its bytes instead of copying them."""
        ...

    def get_file(self, digest: str, path: Path) -> None:
        """As get, into a new file, piece by piece. A large one may share its bytes with the store: read it,
        never write to it."""
        ...

    def bind(self, kind: str, key: str, digest: str) -> str:
        """Point (kind, key) at an object unless it points at one already; returns what it points at."""
        ...

    def lookup(self, kind: str, key: str) -> str | None: ...


class LocalStore:
    """A Store in a folder: objects/ab/abcd..., names/KIND/KEY. Writes are temp file, fsync, rename."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self._object(digest)
        if not self._holds(path, data):
            self._write(path, data)
        return digest

    def get(self, digest: str) -> bytes:
        try:
            data = self._object(digest).read_bytes()
        except FileNotFoundError:
            raise ArtifactError(f"object {digest[:12]} is not in the store {self.root}") from None
        except OSError as error:
            raise StoreUnavailableError(f"can't read the store {self.root}: {error}") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise ArtifactError(f"object {digest[:12]} is damaged: its bytes do not fit its name")
        return data

    def has(self, digest: str) -> bool:
        return self._object(digest).exists()

    def put_file(self, path: Path, shared: bool = False) -> str:
        digest = file_digest(path)
        kept = self._object(digest)
        if kept.exists() and file_digest(kept) == digest:
            return digest
        with self._writing():
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.unlink(missing_ok=True)  # damaged
            if shared:
                link_or_copy(path, kept)
                return digest
            stored = copy_file(path, kept)
        if stored != digest:
            kept.unlink()
            raise ArtifactError(f"{path} was written to while it was stored")
        return digest

    def get_file(self, digest: str, path: Path) -> None:
        kept = self._object(digest)
        if not kept.exists() or kept.stat().st_size < SHARED_BYTES:
            path.write_bytes(self.get(digest))
            return
        try:
            found = file_digest(kept)
            if found == digest:
                kept.chmod(FOR_ALL)  # a second name has the first one's rights
                link_or_copy(kept, path)
        except OSError as error:
            raise StoreUnavailableError(f"can't copy from the store {self.root}: {error}") from error
        if found != digest:
            raise ArtifactError(f"object {digest[:12]} is damaged: its bytes do not fit its name")

    def bind(self, kind: str, key: str, digest: str) -> str:
        path = self.root / "names" / kind / key
        if not path.exists():
            self._write(path, digest.encode(), exclusive=True)
        return path.read_text(encoding="utf-8")

    def lookup(self, kind: str, key: str) -> str | None:
        path = self.root / "names" / kind / key
        return path.read_text(encoding="utf-8") if path.exists() else None

    def _holds(self, path: Path, data: bytes) -> bool:
        """Whether the object is there, whole: one that was damaged is written again."""
        try:
            return path.stat().st_size == len(data) and path.read_bytes() == data
        except OSError:
            return False

    def _object(self, digest: str) -> Path:
        return self.root / "objects" / digest[:2] / digest

    def _write(self, path: Path, data: bytes, exclusive: bool = False) -> None:
        temporary = ""
        try:
            with self._writing():
                path.parent.mkdir(parents=True, exist_ok=True)
                handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                if exclusive:
                    os.link(temporary, path)  # fails if the name is taken: the first writer wins
                else:
                    os.replace(temporary, path)
                    temporary = ""
        except FileExistsError:
            pass
        finally:
            if temporary:
                Path(temporary).unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            hint = "free some space or set stack.store_url elsewhere; nothing accepted is lost"
            raise StoreUnavailableError(
                f"can't write to the store {self.root}: {error.strerror}", hint
            ) from error


def put_json(store: Store, value: Any) -> str:
    """Store a record or a plain JSON value; returns its digest."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return store.put(canonical_json(plain))


def get_json(store: Store, digest: str) -> Any:
    return json.loads(store.get(digest))


def get_record(store: Store, digest: str, kind: type[R]) -> R:
    """A stored record of that class. Raises DecodeError if the object is none."""
    try:
        return kind.model_validate_json(store.get(digest))
    except ValidationError as error:
        raise DecodeError(f"object {digest[:12]} is no {kind.__name__}: {error}") from error


def put_bundle(store: Store, files: Mapping[str, bytes]) -> str:
    """Store a folder's files and then its manifest; returns the manifest's digest, which names the bundle."""
    listing = {name: {"sha256": store.put(data), "size_bytes": len(data)} for name, data in files.items()}
    return put_json(store, {"bundle": 1, "files": listing})


def put_folder(store: Store, folder: Path, shared: bool = False) -> str:
    """As put_bundle, of a folder that may be larger than memory. Links to files count as the files. `shared`:
    these files are not written to any more."""
    paths = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    listing = {
        name: {"sha256": store.put_file(path, shared), "size_bytes": path.stat().st_size}
        for name, path in paths.items()
    }
    return put_json(store, {"bundle": 1, "files": listing})


def get_bundle(store: Store, digest: str) -> dict[str, bytes]:
    """All files of a bundle, each checked. Raises ArtifactError where one is missing, damaged or unsafe."""
    return {name: store.get(file) for name, file in list_bundle(store, digest).items()}


def list_bundle(store: Store, digest: str) -> dict[str, str]:
    """A bundle's files and the digest of each. Raises ArtifactError for what is none, or unsafe."""
    manifest = get_json(store, digest)
    if not isinstance(manifest, dict) or manifest.get("bundle") != 1:
        raise ArtifactError(f"object {digest[:12]} is no bundle")
    for name in manifest["files"]:
        if name.startswith("/") or ".." in Path(name).parts:
            raise ArtifactError(f"bundle {digest[:12]} holds a file outside of itself: {name!r}")
    return {name: entry["sha256"] for name, entry in manifest["files"].items()}


def copy_bundle(source: Store, target: Store, digest: str) -> None:
    """The bundle's files and then its manifest, from one store to another, piece by piece."""
    if target.has(digest):
        return
    with tempfile.TemporaryDirectory(prefix="ratchet-copy-") as scratch:
        for number, file in enumerate(list_bundle(source, digest).values()):
            if not target.has(file):
                path = Path(scratch) / str(number)
                source.get_file(file, path)
                target.put_file(path)
                path.unlink()
    target.put(source.get(digest))


def read_folder(folder: Path) -> dict[str, bytes]:
    """A folder's files by relative path, as put_bundle takes them. Links and caches are left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts
    }


def materialize(store: Store, digest: str, cache: Path) -> Path:
    """The bundle as a folder `cache/<digest>`, made once and whole (temp folder, then rename)."""
    folder = cache / digest
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=cache, prefix=".tmp-"))
    try:
        for name, file in list_bundle(store, digest).items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            store.get_file(file, path)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except OSError as error:
        if not folder.exists():  # else another worker was quicker, and its copy is the same
            raise StoreUnavailableError(
                f"can't unpack {digest[:12]} into {cache}: {error.strerror}"
            ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder
