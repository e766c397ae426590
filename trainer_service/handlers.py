"""The trainer's event handlers. Light: training happens in child processes (base.py, publish.py)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shared.bus.bus import Handlers
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
from shared.messages.proposals import TrainingCurves
from shared.messages.records import Cost
from shared.store.store import Store, get_record, put_json
from trainer_service.base.base import base_bundle
from trainer_service.publish import trained_adapter


@dataclass(frozen=True)
class Deps:
    store: Store
    cache_dir: Path


def on_base_requested(event: BaseRequested, *, deps: Deps) -> list[Message]:
    config = get_record(deps.store, event.config, RunConfig)
    try:
        base, train_s = base_bundle(config, deps.store, deps.cache_dir)
    except (TrainingError, ArtifactError, TaskError, SettingsError) as error:
        return [BaseFailed(run_id=event.run_id, generation=event.generation, reason=str(error))]
    cost = Cost(train_s=train_s)
    return [BaseReady(run_id=event.run_id, generation=event.generation, base=base, cost=cost)]


def on_weight_update_proposed(event: WeightUpdateProposed, *, deps: Deps) -> list[Message]:
    place = {"run_id": event.run_id, "generation": event.generation, "join": event.join}
    try:
        adapter, result = trained_adapter(event, deps.store, deps.cache_dir)
    except (TrainingError, ArtifactError) as error:
        return [WeightUpdateFailed(**place, reason=str(error))]
    cost = Cost(train_s=result.train_s, gpu_s=result.gpu_s)
    curves = put_json(deps.store, TrainingCurves(series=result.curves))
    published = AdapterPublished(
        **place,
        adapter=adapter,
        reason=event.reason,
        metrics=result.metrics,
        cost=cost,
        curves=curves,
    )
    return [published]


def handlers(deps: Deps) -> Handlers:
    return {
        BaseRequested: partial(on_base_requested, deps=deps),
        WeightUpdateProposed: partial(on_weight_update_proposed, deps=deps),
    }
