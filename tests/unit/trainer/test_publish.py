"""What the trainer publishes: signed, payload first, manifest last; once trained, never trained again."""

import pytest

from shared.bus.bus import MemoryBus
from shared.errors import ArtifactError, StoreUnavailableError
from shared.ledger.ledger import Ledger
from shared.messages.records import Release
from shared.store.signing import SIGNATURE, Origin, check_signature, make_key, public_name, read_key, sign
from shared.store.store import LocalStore, list_bundle, put_bundle
from shared.store.trust import Trust
from tests.unit.trainer.test_light import proposed, release_of_ours
from trainer_service.handlers import Deps, handlers, on_weight_update_proposed
from trainer_service.publish import check_signed
from trainer_service.specs import TrainResult

FILES = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights", "ratchet.json": b"{}"}


class AwayStore(LocalStore):
    """A bucket that takes `takes` more objects and is away then, until `takes` is None."""

    def __init__(self, root, takes):
        super().__init__(root)
        self.takes, self.put_bytes = takes, []

    def put(self, data):
        if self.takes is not None:
            if self.takes == 0:
                raise StoreUnavailableError("the bucket is away")
            self.takes -= 1
        self.put_bytes.append(data)
        return super().put(data)


def trained(cache, event):
    """The job's folder as a training that is done leaves it."""
    folder = cache / "training" / event.digest
    (folder / "adapter").mkdir(parents=True)
    for name, data in FILES.items():
        (folder / "adapter" / name).write_bytes(data)
    (folder / "result.json").write_text(TrainResult(metrics={"norm": 0.1}).model_dump_json())


def test_a_bucket_that_is_away_while_an_adapter_is_published_costs_no_second_training(tmp_path):
    store = AwayStore(tmp_path / "store", None)
    event = proposed(store, release_of_ours(tmp_path))
    deps = Deps(store, tmp_path / "cache")
    trained(deps.cache_dir, event)
    for takes in range(4):  # away again and again, after each object
        store.takes = takes
        with pytest.raises(StoreUnavailableError):
            on_weight_update_proposed(event, deps=deps)
    store.takes, store.put_bytes = None, []
    (emitted,) = on_weight_update_proposed(event, deps=deps)
    assert emitted.type == "adapter_published.v1"
    assert emitted.signer == public_name(deps.key())
    files = list_bundle(store, emitted.adapter)
    manifest = next(data for data in store.put_bytes if b'"bundle"' in data)
    before = store.put_bytes[: store.put_bytes.index(manifest)]
    assert set(FILES.values()) <= set(before)
    signature = store.get(files.pop(SIGNATURE))
    check_signature(files, signature, Origin("run", event.release.base), public_name(deps.key()))
    log = deps.cache_dir / "training" / event.digest / "log.txt"
    assert not log.exists()  # no child was started


def test_a_bucket_that_is_away_for_ten_minutes_costs_neither_the_job_nor_the_training(tmp_path):
    store = AwayStore(tmp_path / "store", None)
    event = proposed(store, release_of_ours(tmp_path))
    deps = Deps(store, tmp_path / "cache")
    trained(deps.cache_dir, event)
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", max_attempts=1)
    ledger.create_schema()
    ledger.create_run("run")
    bus = MemoryBus(ledger, handlers(deps), jitter=lambda: 0.99)
    bus.submit([event])
    store.takes = 0
    bus.drain(max_jobs=1)
    with ledger.database.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET failing_since = failing_since - 600")
    bus.drain(max_jobs=1)
    assert ledger.jobs("run") == {("trainer", "ready"): 1}
    store.takes = None
    bus.drain()
    kinds = [logged.event.type for logged in ledger.events("run")]
    assert kinds == ["weight_update_proposed.v1", "adapter_published.v1"]
    assert not (deps.cache_dir / "training" / event.digest / "log.txt").exists()  # no child was started


def test_the_private_key_is_made_once_and_for_its_owner_alone(tmp_path):
    deps = Deps(LocalStore(tmp_path / "store"), tmp_path / "cache")
    path = tmp_path / "cache" / "keys" / "adapters.key"
    assert public_name(deps.key()) == public_name(deps.key())
    assert path.stat().st_mode & 0o777 == 0o600
    named = Deps(deps.store, deps.cache_dir, signing_key=f"file:{tmp_path}/other.key")
    assert public_name(named.key()) != public_name(deps.key())


def signed(store, base, run_id, key):
    """The digest of an adapter that this key signed for this run."""
    digests = list_bundle(store, put_bundle(store, FILES))
    return put_bundle(store, FILES | {SIGNATURE: sign(digests, Origin(run_id, base), key)})


def test_training_never_continues_from_an_adapter_that_another_run_or_key_signed_or_that_is_unsigned(
    tmp_path,
):
    store, key = LocalStore(tmp_path / "store"), read_key(make_key())
    base = release_of_ours(tmp_path).base
    trust = Trust("run", public_name(key))

    def check(adapter, by=trust):
        check_signed(proposed(store, Release(base=base, harness="h", adapter=adapter)), store, by)

    check(signed(store, base, "run", key))
    with pytest.raises(ArtifactError, match="signed for run other"):
        check(signed(store, base, "other", key))
    with pytest.raises(ArtifactError, match="another key"):
        check(signed(store, base, "run", read_key(make_key())))
    unsigned = put_bundle(store, FILES)
    with pytest.raises(ArtifactError, match="is not signed"):
        check(unsigned)
    check(unsigned, Trust("run"))  # the run began before adapters were signed
    check(unsigned, Trust("run", public_name(key), {unsigned: Trust("run")}))  # ... or this adapter is older
    theirs = signed(store, base, "origin", key)
    check(theirs, Trust("run", public_name(key), {theirs: Trust("origin", public_name(key))}))


def test_an_unsigned_adapter_ends_as_a_failed_update_in_a_run_that_has_a_key(tmp_path):
    store = LocalStore(tmp_path / "store")
    unsigned = release_of_ours(tmp_path).model_copy(update={"adapter": put_bundle(store, FILES)})
    deps = Deps(store, tmp_path / "cache", lambda run_id: Trust(run_id, "key"))
    (emitted,) = on_weight_update_proposed(proposed(store, unsigned), deps=deps)
    assert emitted.type == "weight_update_failed.v1"
    assert "is not signed" in emitted.reason
