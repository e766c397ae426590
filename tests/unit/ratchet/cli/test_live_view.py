"""The live view redraws twice a second: of the store it reads what new events name, and nothing again."""

from pathlib import Path

from ratchet.cli.live_view import View
from ratchet.runs import folder as runs
from ratchet.runs.request import RunRequest
from shared.config.settings import RunConfig
from shared.ledger.ledger import Ledger
from shared.messages import events as e
from shared.messages.evidence import GateRecord
from shared.messages.records import Release
from shared.store.remembered import Remembered
from shared.store.store import LocalStore, put_json

RELEASE = Release(base="endpoint:m", harness="h")


class Counting(LocalStore):
    reads = 0

    def get(self, digest: str) -> bytes:
        self.reads += 1
        return super().get(digest)


def rejected(store: LocalStore, generation: int) -> e.Message:
    evidence = put_json(store, GateRecord(alpha=generation / 100))
    about = {"run_id": "r", "generation": generation, "release": RELEASE}
    return e.ReleaseRejected(**about, evidence=evidence, why="no gain")


def test_a_redraw_reads_of_the_store_what_is_new_and_nothing_again(tmp_path: Path) -> None:
    folder = runs.create(RunRequest(RunConfig(), "words", tmp_path, "r"))
    store = Counting(Path(folder.parts.store_url))
    ledger = Ledger(folder.ledger_url)
    ledger.create_schema()
    ledger.create_run("r")
    ledger.submit([e.RunStarted(run_id="r", config=put_json(store, RunConfig())), rejected(store, 1)])
    view = View(folder, live=False)
    view.store = Remembered(store)

    def redraw() -> int:
        before = store.reads
        view.refresh()
        view.picture()
        return store.reads - before

    assert redraw() == 2  # the config and the record
    assert [redraw() for _ in range(5)] == [0] * 5
    ledger.submit([rejected(store, 2)])
    assert redraw() == 1
    assert len(view.shown["generations"]) == 2
