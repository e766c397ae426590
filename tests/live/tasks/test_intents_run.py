"""A whole run of intents on a user's own queries, with a tiny random model as its base: right answers go
from the verifier through the scaffold's prompts to an adapter, and only train labels are taught."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet.runs.folder import RunFolder
from shared.messages import events as e
from shared.messages.proposals import Demonstrations, WeightUpdate
from shared.store.store import get_record
from tests.parts.tiny_model import write_model

RATCHET = str(Path(sys.executable).with_name("ratchet"))
CONFIG = """
[model]
base = "{base}"
[run]
generations = 1
levers = "weights"
[data]
per_label = 4
[rollouts]
instances = 4
shard = 4
[gate]
screen_instances = 2
round_instances = 2
max_pairs = 2
test_instances = 4
[training]
steps = 2
demonstrations = 6
max_kl = 1000.0
"""


def queries(path: Path) -> list[dict[str, str]]:
    rows = [
        {"id": f"{label}-{number}", "text": f"my {label} does thing {number}", "label": label}
        for label in ("card", "cash", "pin", "transfer")
        for number in range(20)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_right_answers_of_train_queries_become_an_adapter(tmp_path: Path) -> None:
    base = write_model(tmp_path / "model")
    config = base / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 4096}))
    (tmp_path / "my.toml").write_text(CONFIG.format(base=base))
    label_of = {row["id"]: row["label"] for row in queries(tmp_path / "mine.jsonl")}
    words = ["run", "intents", "--data", "mine.jsonl", "--config", "my.toml", "--json"]
    done = subprocess.run([RATCHET, *words], capture_output=True, text=True, cwd=tmp_path, timeout=570)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["state"] == "done"
    folder = RunFolder(tmp_path / "runs" / "intents-1")
    store = folder.open_store()
    events = [logged.event for logged in folder.open_ledger().events(folder.run_id)]
    (proposed,) = [event for event in events if isinstance(event, e.WeightUpdateProposed)]
    update = get_record(store, proposed.update, WeightUpdate)
    items = get_record(store, update.demonstrations, Demonstrations).items
    train = {
        json.loads(line)["id"]
        for line in (folder.path / "task" / "data" / "train.jsonl").read_text().splitlines()
    }
    assert update.algorithm == "supervised"
    assert len(train) == 16
    assert 0 < len(items) <= 6
    assert {item.instance_id for item in items} <= train
    assert all(json.loads(item.reply) == {"label": label_of[item.instance_id]} for item in items)
    assert any(isinstance(event, e.AdapterPublished) for event in events)
    report = (folder.path / "report" / "report.md").read_text(encoding="utf-8")
    assert "| linear SVM |" in report
