"""The console over a long run, written by the benchmark's generator, and over texts of megabytes."""

import re
from pathlib import Path

import pytest
from sqlalchemy import delete
from starlette.testclient import TestClient

from benchmarks.console.big_run import write_run
from ratchet.runs.folder import RunFolder
from shared.ledger.schema import events
from shared.messages import events as e
from shared.messages.records import AttemptState, Evaluation, Sample, ShardState, Turn
from shared.store.shards import get_shard
from shared.store.store import put_json
from tests.parts.pages import client_of, page

GENERATIONS = 500

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_run(root, "big", GENERATIONS, 10_000)
    return root


@pytest.fixture
def client(root: Path) -> TestClient:
    return client_of(root)


def test_a_run_of_500_generations_has_pages_of_them_and_none_is_left_out(client: TestClient) -> None:
    seen: set[int] = set()
    for number in range(GENERATIONS // 50):
        text = page(client, f"/runs/big?page={number}")
        seen |= {int(found) for found in re.findall(r'/runs/big/generations/(\d+)"', text)}
    assert seen == set(range(1, GENERATIONS + 1))
    assert "next" not in page(client, f"/runs/big?page={GENERATIONS // 50 - 1}")


def test_every_kind_of_page_of_a_long_run_is_below_a_megabyte(client: TestClient) -> None:
    attempts = page(client, f"/runs/big/generations/{GENERATIONS}/screen")
    attempt = re.search(r"/runs/big/attempts/\w+/\d+", attempts)
    assert attempt
    text = page(client, attempt[0])
    assert "Which of the classes" in text
    assert "after the run&#39;s start" in text or "after the run's start" in text
    for path in ("/", f"/runs/big/generations/{GENERATIONS}", "/runs/big/lineage"):
        page(client, path)


def test_megabytes_of_replies_are_cut_and_the_page_says_where_all_of_it_is(root: Path) -> None:
    folder = write_run(root, "long", 1, 10)
    path = _with_long_replies(folder)
    text = page(client_of(root), path)
    assert "more characters: `ratchet trace`" in text


def _with_long_replies(folder: RunFolder) -> str:
    """Exchanges the run's one shard for one whose texts are markup of megabytes; returns its page's path."""
    store, ledger = folder.open_store(), folder.open_ledger()
    ended = [one for one in ledger.events(folder.run_id) if isinstance(one.event, e.ShardFinished)]
    finished = ended[0].event
    assert isinstance(finished, e.ShardFinished)
    assert finished.result
    plan = get_shard(store, finished.result).attempts[0].plan
    reply = Sample(text='<&">' * 500_000)
    final = Evaluation(outcome="ok", score=0.5, detail="&" * 1_000_000)
    state = AttemptState(plan=plan, turns=(Turn(action={}, replies=(reply,)),) * 3, final=final)
    digest = put_json(store, ShardState(attempts=(state,)))
    with ledger.database.write() as connection:
        connection.execute(delete(events).where(events.c.id == ended[0].id))
    ledger.submit([finished.model_copy(update={"result": digest})])
    return f"/runs/{folder.run_id}/attempts/{digest}/0"


def test_attempts_on_the_sealed_split_are_not_shown_before_the_run_has_ended(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "open", 1, 10, finished=False)
    store, ledger = folder.open_store(), folder.open_ledger()
    shard = next(
        one.event
        for one in ledger.events("open")
        if isinstance(one.event, e.ShardFinished) and one.event.result
    )
    assert isinstance(shard, e.ShardFinished)
    assert shard.result
    sealed = put_json(store, get_shard(store, shard.result).model_copy(update={"null_arms": {"both": "no"}}))
    opened = next(one.event for one in ledger.events("open") if isinstance(one.event, e.RolloutsOpened))
    about = {"generation": 0, "purpose": "test"}
    ledger.submit([opened.model_copy(update=about)])
    ledger.submit([shard.model_copy(update={**about, "result": sealed})])
    client = client_of(tmp_path)
    assert "once the run has ended" in client.get("/runs/open/generations/0/test").text
    assert client.get(f"/runs/open/attempts/{sealed}/0").status_code == 404
    ended = e.RunFinished(run_id="open", state="done", why="enough")
    ledger.submit([ended])
    assert client.get(f"/runs/open/attempts/{sealed}/0").status_code == 200
