"""A store keeps what it was given, whole, or raises: in a folder, and on a real S3 server."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.errors import ArtifactError, DecodeError, StoreUnavailableError
from shared.messages.evidence import Interval
from shared.messages.records import Cost
from shared.store.store import (
    LocalStore,
    Store,
    copy_bundle,
    get_bundle,
    get_record,
    list_bundle,
    materialize,
    put_bundle,
    put_folder,
    put_json,
)
from tests.parts.stores import KeptStore


@pytest.fixture
def store(kept: KeptStore) -> Store:
    return kept.store


def test_an_object_is_named_by_its_bytes(store: Store) -> None:
    digest = store.put(b"abc")
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # sha256("abc")
    assert store.put(b"abc") == digest
    assert store.get(digest) == b"abc"


@pytest.mark.parametrize("damaged", [b"abd", b"ab", b""], ids=["flipped", "truncated", "empty"])
def test_a_damaged_object_is_refused(kept: KeptStore, damaged: bytes) -> None:
    digest = kept.store.put(b"abc")
    kept.overwrite(digest, damaged)
    with pytest.raises(ArtifactError, match="damaged"):
        kept.store.get(digest)


@pytest.mark.parametrize("damaged", [b"abd", b"ab", b""], ids=["flipped", "truncated", "empty"])
def test_a_damaged_object_is_whole_again_once_it_is_put_again(
    kept: KeptStore, damaged: bytes, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    ways = [
        lambda: kept.store.put(b"abc"),
        lambda: kept.store.put_file(tmp_path / "file"),
        lambda: kept.store.put_file(tmp_path / "file", shared=True),
    ]
    of_files = isinstance(kept.store, LocalStore) or len(damaged) < 3  # S3 returns the size, at no cost
    for again in ways if of_files else ways[:1]:
        digest = kept.store.put(b"abc")
        kept.overwrite(digest, damaged)

        assert again() == digest
        assert kept.store.get(digest) == b"abc"
    assert (tmp_path / "file").read_bytes() == b"abc"


def test_a_missing_object_is_named(store: Store) -> None:
    with pytest.raises(ArtifactError, match="0000"):
        store.get("0" * 64)


def test_a_name_is_bound_once_and_the_first_writer_wins(store: Store) -> None:
    first, second = store.put(b"1"), store.put(b"2")
    assert store.bind("reply", "k", first) == first
    assert store.bind("reply", "k", second) == first
    assert store.lookup("reply", "k") == first
    assert store.lookup("reply", "other") is None


def test_a_bundle_comes_back_whole_and_same_files_have_one_name(store: Store) -> None:
    files = {"a.txt": b"1", "d/b.txt": b"2"}
    digest = put_bundle(store, files)
    assert get_bundle(store, digest) == files
    assert put_bundle(store, dict(reversed(files.items()))) == digest


def test_a_bundle_without_one_of_its_files_is_refused(kept: KeptStore) -> None:
    digest = put_bundle(kept.store, {"a.txt": b"1"})
    kept.remove(kept.store.put(b"1"))
    with pytest.raises(ArtifactError):
        get_bundle(kept.store, digest)


def test_a_bundle_without_its_manifest_does_not_exist(kept: KeptStore) -> None:
    digest = put_bundle(kept.store, {"a.txt": b"1"})
    kept.remove(digest)
    assert not kept.store.has(digest)
    with pytest.raises(ArtifactError, match=digest[:12]):
        get_bundle(kept.store, digest)


def test_large_and_empty_objects_come_back(store: Store) -> None:
    large = bytes(range(256)) * 45_000  # 11 MB: three parts on S3
    for data in (b"", large):
        assert store.get(store.put(data)) == data


def test_of_many_writers_at_once_one_names_it_and_every_object_is_whole(store: Store) -> None:
    texts = [b"same" if number % 2 else b"%d" % number for number in range(16)]

    def write(data: bytes) -> str:
        digest = store.put(data)
        return store.bind("reply", "k", digest)

    with ThreadPoolExecutor(8) as threads:
        bound = list(threads.map(write, texts))
    assert len(set(bound)) == 1
    assert store.lookup("reply", "k") == bound[0]
    assert store.get(bound[0]) in texts


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up"])
def test_a_bundle_can_not_write_outside_of_its_folder(store: Store, name: str, tmp_path: Path) -> None:
    digest = put_bundle(store, {name: b"x"})
    with pytest.raises(ArtifactError, match="outside"):
        materialize(store, digest, tmp_path / "cache")


def test_materialize_makes_the_folder_once(store: Store, tmp_path: Path) -> None:
    digest = put_bundle(store, {"d/b.txt": b"2"})
    folder = materialize(store, digest, tmp_path / "cache")
    assert (folder / "d" / "b.txt").read_bytes() == b"2"
    (folder / "mark").touch()
    assert materialize(store, digest, tmp_path / "cache") == folder
    assert (folder / "mark").exists()


def test_a_record_comes_back_as_its_class_and_another_class_is_refused(store: Store) -> None:
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


def large_folder(root: Path) -> Path:
    (root / "large").mkdir()
    (root / "large/w.bin").write_bytes(b"0123456789abcdef" * (1 << 17))  # 2 MiB
    (root / "large/a.json").write_text("{}")
    return root / "large"


@pytest.mark.parametrize("shared", [False, True])
def test_a_folder_is_the_bundle_of_its_files_and_comes_back_whole(
    store: Store, tmp_path: Path, shared: bool
) -> None:
    folder = large_folder(tmp_path)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    digest = put_folder(store, folder, shared)
    assert digest == put_bundle(store, files) == put_folder(store, folder)
    unpacked = materialize(store, digest, tmp_path / "cache")
    assert {path.name: path.read_bytes() for path in unpacked.iterdir()} == files


def test_a_folder_of_links_is_the_bundle_of_the_files_behind_them(store: Store, tmp_path: Path) -> None:
    folder = large_folder(tmp_path)
    (tmp_path / "links").mkdir()
    for path in folder.iterdir():
        (tmp_path / "links" / path.name).symlink_to(Path("..") / "large" / path.name)
    assert put_folder(store, tmp_path / "links", shared=True) == put_folder(store, folder)


def test_a_damaged_file_of_a_large_bundle_is_not_unpacked(kept: KeptStore, tmp_path: Path) -> None:
    folder = large_folder(tmp_path)
    digest = put_folder(kept.store, folder)
    kept.overwrite(kept.store.put_file(folder / "w.bin"), b"x" * (2 << 20))
    with pytest.raises(ArtifactError, match="damaged"):
        materialize(kept.store, digest, tmp_path / "cache")
    assert not any((tmp_path / "cache").iterdir())


def test_on_one_disk_a_shared_large_file_is_kept_once(tmp_path: Path) -> None:
    folder, store = large_folder(tmp_path), LocalStore(tmp_path / "store")
    digest = put_folder(store, folder, shared=True)
    unpacked = materialize(store, digest, tmp_path / "cache")
    assert (folder / "w.bin").stat().st_ino == (unpacked / "w.bin").stat().st_ino
    assert put_folder(LocalStore(tmp_path / "other"), folder)
    assert (folder / "w.bin").stat().st_nlink == 3  # its own name, the first store's, the cache's


FILES = {"a.txt": b"alpha", "deep/b.txt": b"beta", "same.txt": b"alpha"}


def test_a_copied_bundle_is_whole_without_the_store_that_it_came_from(
    kept: KeptStore, tmp_path: Path
) -> None:
    target = LocalStore(tmp_path / "target")
    digest = put_bundle(kept.store, FILES)
    copy_bundle(kept.store, target, digest)
    for held in {*list_bundle(kept.store, digest).values(), digest}:
        kept.remove(held)
    assert get_bundle(target, digest) == FILES
    copy_bundle(kept.store, target, digest)  # it is there: the source is not read
    assert get_bundle(target, digest) == FILES


@pytest.mark.parametrize("fault", ["missing", "damaged"])
def test_a_bundle_that_can_not_be_copied_whole_is_not_there_at_all(
    kept: KeptStore, tmp_path: Path, fault: str
) -> None:
    target = LocalStore(tmp_path / "target")
    digest = put_bundle(kept.store, FILES)
    last = list_bundle(kept.store, digest)["deep/b.txt"]
    kept.remove(last) if fault == "missing" else kept.overwrite(last, b"bate")
    with pytest.raises(ArtifactError):
        copy_bundle(kept.store, target, digest)
    assert not target.has(digest)  # its manifest comes last
    assert put_bundle(kept.store, FILES) == digest  # whole again
    copy_bundle(kept.store, target, digest)
    assert get_bundle(target, digest) == FILES


def test_what_is_no_bundle_is_not_copied(store: Store, tmp_path: Path) -> None:
    target = LocalStore(tmp_path / "target")
    with pytest.raises(ArtifactError, match="is no bundle"):
        copy_bundle(store, target, put_json(store, {"a": 1}))
