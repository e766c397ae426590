"""The trainer's event handlers. Light: training happens in child processes (base.py, publish.py)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from Crypto.PublicKey.ECC import EccKey

from shared import tracing
from shared.bus.bus import Handlers
from shared.config.secrets import read_or_make_secret
from shared.config.settings import RunConfig
from shared.errors import ArtifactError, SettingsError, TaskError, TrainingError
from shared.messages.events import (
    AdapterPublished,
    BaseFailed,
    BaseReady,
    BaseRequested,
    Message,
    WeightUpdateFailed,
    WeightUpdateProposed,
)
from shared.messages.proposals import TrainingCurves, WeightUpdate
from shared.messages.records import Cost
from shared.store.shards import get_shard
from shared.store.signing import make_key, public_name, read_key
from shared.store.store import Store, get_record, put_json
from shared.store.trust import Trust
from trainer_service.base.base import base_bundle
from trainer_service.publish import trained_adapter


@dataclass(frozen=True)
class Deps:
    store: Store
    cache_dir: Path
    trust_of: Callable[[str], Trust] = Trust  # by run
    signing_key: str = ""  # names a secret; empty: a file of its own in the cache

    def key(self) -> EccKey:
        """Raises SettingsError."""
        place = self.signing_key or f"file:{self.cache_dir}/keys/adapters.key"
        return read_key(read_or_make_secret(place, make_key))


def on_base_requested(event: BaseRequested, *, deps: Deps) -> list[Message]:
    config = get_record(deps.store, event.config, RunConfig)
    try:
        signer = public_name(deps.key())
        base, train_s = base_bundle(config, deps.store, deps.cache_dir)
    except (TrainingError, ArtifactError, TaskError, SettingsError) as error:
        return [BaseFailed(run_id=event.run_id, generation=event.generation, reason=str(error))]
    cost = Cost(train_s=train_s)
    return [BaseReady(run_id=event.run_id, generation=event.generation, base=base, cost=cost, signer=signer)]


def on_weight_update_proposed(event: WeightUpdateProposed, *, deps: Deps) -> list[Message]:
    place = {"run_id": event.run_id, "generation": event.generation, "join": event.join}
    started_ns = time.time_ns()
    try:
        key = deps.key()
        adapter, result = trained_adapter(event, deps.store, deps.cache_dir, key, deps.trust_of(event.run_id))
    except (TrainingError, ArtifactError, SettingsError) as error:
        return [WeightUpdateFailed(**place, reason=str(error))]
    _trace(event, adapter, deps.store, started_ns)
    cost = Cost(train_s=result.train_s, gpu_s=result.gpu_s)
    curves = put_json(deps.store, TrainingCurves(series=result.curves))
    published = AdapterPublished(
        **place,
        adapter=adapter,
        reason=event.reason,
        metrics=result.metrics,
        cost=cost,
        curves=curves,
        signer=public_name(key),
    )
    return [published]


def _trace(event: WeightUpdateProposed, adapter: str, store: Store, started_ns: int) -> None:
    """In the trace of each attempt that was given to the update: which adapter came of it."""
    if not tracing.is_on():
        return
    update = get_record(store, event.update, WeightUpdate)
    attributes: dict[str, tracing.Value] = {
        "ratchet.algorithm": update.algorithm,
        "ratchet.adapter": adapter,
    }
    for attempt in (attempt for digest in update.shards for attempt in get_shard(store, digest).attempts):
        place = (event.run_id, event.generation, attempt.plan.attempt_id)
        tracing.record(f"train {update.algorithm}", *place, started_ns, attributes)


def handlers(deps: Deps) -> Handlers:
    return {
        BaseRequested: partial(on_base_requested, deps=deps),
        WeightUpdateProposed: partial(on_weight_update_proposed, deps=deps),
    }
