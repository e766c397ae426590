"""The store keeps what it was given, whole, or says that it does not."""

from pathlib import Path

import pytest

from shared.errors import ArtifactError, DecodeError, StoreUnavailableError
from shared.records import Cost, Interval
from shared.store import LocalStore, get_bundle, get_record, materialize, put_bundle, put_json


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def only_object(store: LocalStore, digest: str) -> Path:
    return store.root / "objects" / digest[:2] / digest


def test_an_object_is_named_by_its_bytes(store: LocalStore) -> None:
    digest = store.put(b"abc")
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # sha256("abc")
    assert store.put(b"abc") == digest
    assert store.get(digest) == b"abc"


def test_a_flipped_byte_is_refused(store: LocalStore) -> None:
    digest = store.put(b"abc")
    only_object(store, digest).write_bytes(b"abd")
    with pytest.raises(ArtifactError, match="damaged"):
        store.get(digest)


def test_a_missing_object_is_named(store: LocalStore) -> None:
    with pytest.raises(ArtifactError, match="0000"):
        store.get("0" * 64)


def test_a_name_is_bound_once_and_the_first_writer_wins(store: LocalStore) -> None:
    first, second = store.put(b"1"), store.put(b"2")
    assert store.bind("reply", "k", first) == first
    assert store.bind("reply", "k", second) == first
    assert store.lookup("reply", "k") == first
    assert store.lookup("reply", "other") is None


def test_a_bundle_comes_back_whole_and_same_files_have_one_name(store: LocalStore) -> None:
    files = {"a.txt": b"1", "d/b.txt": b"2"}
    digest = put_bundle(store, files)
    assert get_bundle(store, digest) == files
    assert put_bundle(store, dict(reversed(files.items()))) == digest


def test_a_bundle_without_one_of_its_files_is_refused(store: LocalStore) -> None:
    digest = put_bundle(store, {"a.txt": b"1"})
    only_object(store, store.put(b"1")).unlink()
    with pytest.raises(ArtifactError):
        get_bundle(store, digest)


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up"])
def test_a_bundle_can_not_write_outside_of_its_folder(store: LocalStore, name: str, tmp_path: Path) -> None:
    digest = put_bundle(store, {name: b"x"})
    with pytest.raises(ArtifactError, match="outside"):
        materialize(store, digest, tmp_path / "cache")


def test_materialize_makes_the_folder_once(store: LocalStore, tmp_path: Path) -> None:
    digest = put_bundle(store, {"d/b.txt": b"2"})
    folder = materialize(store, digest, tmp_path / "cache")
    assert (folder / "d" / "b.txt").read_bytes() == b"2"
    (folder / "mark").touch()
    assert materialize(store, digest, tmp_path / "cache") == folder
    assert (folder / "mark").exists()


def test_a_record_comes_back_as_its_class_and_another_class_is_refused(store: LocalStore) -> None:
    interval = Interval(mean=0.5, low=0.25, high=0.75, n=4)
    digest = put_json(store, interval)
    assert get_record(store, digest, Interval) == interval
    with pytest.raises(DecodeError):
        get_record(store, digest, Cost)


def test_a_full_disk_is_said_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "file")
    (tmp_path / "file").write_text("a file where the folder should be")  # writing fails as on a full disk
    with pytest.raises(StoreUnavailableError, match="can't write"):
        store.put(b"abc")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
