"""What an evaluation's run has come to, read when it does not run any more."""

from pathlib import Path

import pytest

from ratchet.runs import folder as runs
from ratchet.runs.evaluate import result_of
from ratchet.runs.folder import RunFolder
from ratchet.runs.follow import PausedRunError
from ratchet.runs.request import RunRequest, resolve_config
from shared.errors import SettingsError
from shared.ledger import pausing
from shared.ledger.migrate import settle_schema
from shared.messages.events import EvaluationRequested, RunFinished
from shared.store.store import put_json


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = runs.create(RunRequest(resolve_config("trimul", None, [], None), "eval-trimul", tmp_path))
    ledger, store = made.open_ledger(), made.open_store()
    settle_schema(ledger.database)
    ledger.create_run(made.run_id, made.queue_prefix)
    config, instances = put_json(store, made.config()), put_json(store, [])
    asked = EvaluationRequested(run_id=made.run_id, config=config, release=None, instances=instances, seed=0)
    ledger.submit([asked])
    return made


def test_an_evaluation_that_its_endpoint_stopped_ends_with_that_reason(folder: RunFolder) -> None:
    ledger = folder.open_ledger()
    claim = ledger.claim(ledger.due(limit=1)[0].job_id, "a worker")
    assert claim is not None
    pausing.pause(ledger, claim.job_id, claim.fence, "http://host/v1 answers 402: no credits are left")
    with pytest.raises(PausedRunError, match="402: no credits are left") as caught:
        result_of(folder)
    assert caught.value.exit_code == 75


def test_an_evaluation_that_failed_says_why(folder: RunFolder) -> None:
    ended = RunFinished(run_id=folder.run_id, state="failed", why="the base can't be served")
    folder.open_ledger().submit([ended])
    with pytest.raises(SettingsError, match="the base can't be served"):
        result_of(folder)
