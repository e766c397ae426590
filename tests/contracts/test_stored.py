"""The store: records that an older version wrote (one of each kind) can still be read, so
an old run folder still opens. These files are never edited.
"""

import json
from pathlib import Path

import pytest

from shared.config.settings import RunConfig
from shared.messages.analysis import Analysis, Replay
from shared.messages.evidence import GateRecord
from shared.messages.proposals import DesignRecord, Patch, WeightUpdate
from shared.messages.records import BatchScores, CandidateBatch, ShardPlan, ShardState
from shared.messages.steps import ShardStep
from shared.store.store import LocalStore, get_record, put_json
from tests.contracts.test_events import kept

STORED = Path(__file__).parent / "stored"
KINDS = (
    ShardPlan,
    ShardState,
    ShardStep,
    CandidateBatch,
    BatchScores,
    Patch,
    WeightUpdate,
    DesignRecord,
    GateRecord,
    Analysis,
    Replay,
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_of_the_first_version_is_read_and_every_word_of_it_is_kept(
    kind: type[ShardState], tmp_path: Path
) -> None:
    stored = json.loads((STORED / f"{kind.__name__}.json").read_text())
    store = LocalStore(tmp_path)

    record = get_record(store, put_json(store, stored), kind)

    assert kept(stored, record.model_dump(mode="json"))


def test_a_config_of_the_first_version_is_read_without_its_retired_keys(tmp_path: Path) -> None:
    stored = json.loads((STORED / "RunConfig.json").read_text())
    store = LocalStore(tmp_path)

    config = get_record(store, put_json(store, stored), RunConfig).model_dump(mode="json")

    del stored["model"]["temperature"], stored["training"]["micro_batch"]
    assert kept(stored, config)
