"""A paused run is asked to continue while its endpoint still refuses everything."""

import json
from pathlib import Path

import pytest

from ratchet.runs import folder as runs
from ratchet.runs import start
from ratchet.runs.own_stack import OwnStack
from ratchet.runs.request import RunRequest, resolve_config
from shared.errors import SettingsError
from shared.ledger import pausing
from shared.ledger.migrate import settle_schema
from shared.messages.events import RunStarted
from shared.store.store import put_json
from tests.parts.endpoint import Endpoint, Fault


def test_a_run_whose_endpoint_still_refuses_stays_paused_and_says_how_to_go_on(tmp_path: Path) -> None:
    with Endpoint() as endpoint:
        config = resolve_config("trimul", None, [f"model.url={endpoint.url}"], "harness")
        folder = runs.create(RunRequest(config, "trimul", tmp_path, "mine"))
        ledger = folder.open_ledger()
        settle_schema(ledger.database)
        ledger.create_run("mine", folder.queue_prefix)
        ledger.submit([RunStarted(run_id="mine", config=put_json(folder.open_store(), config))])
        claim = ledger.claim(ledger.due(limit=1)[0].job_id, "a worker")
        assert claim is not None
        pausing.pause(ledger, claim.job_id, claim.fence, "no credit")
        refusal = Fault(402, json.dumps({"error": {"message": "still no credit"}}).encode())
        endpoint.faults, endpoint.well = [refusal] * 9, False
        with pytest.raises(SettingsError, match="still no credit") as caught:
            start.drive(folder, OwnStack(), refresh=lambda: None, note=lambda text: None)
    assert caught.value.hint.endswith(f"then `ratchet resume {folder.path}` continues from here")
    assert "nothing was begun" not in caught.value.hint
    assert ledger.run_state("mine") == "paused"
