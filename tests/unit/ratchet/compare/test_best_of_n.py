"""The arm best-of-n: settings as its endpoint needs them, and a try that goes on where it was interrupted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet.compare.best_of_n import open_try, with_n
from ratchet.runs.folder import RunFolder
from ratchet.tasks.new_task import create
from shared.config.settings import RunConfig, load_config
from shared.messages.events import RunFinished
from tests.loop.toy_world import make_task
from tests.parts.endpoint import Endpoint

BEST_OF_N = '\n[best_of_n]\nattempt = {candidates = "N", requests = "N"}\n'


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as running:
        running.lora_routes = False
        yield running


def config(folder: Path, url: str = "") -> RunConfig:
    task = Path(make_task(folder / "task"))
    text = (task / "task.toml").read_text(encoding="utf-8")
    (task / "task.toml").write_text(text + BEST_OF_N, encoding="utf-8")
    sections = {"run": {"task": str(task)}, "gate": {"test_instances": 10}, "budget": {"evaluations": 100}}
    return with_n(load_config([sections, {"model": {"url": url, "base": "/a/folder"} if url else {}}]))


def begun(run: RunFolder) -> RunFolder:
    ledger = run.open_ledger()
    ledger.create_schema()
    ledger.create_run(run.run_id)
    return run


def test_the_budget_is_divided_among_the_sealed_instances(tmp_path: Path) -> None:
    tries = config(tmp_path).attempt
    assert (tries["candidates"], tries["requests"]) == (9, 9)  # and the answer's own evaluation


def test_a_new_task_says_what_its_best_of_n_is(tmp_path: Path) -> None:
    create(tmp_path / "words")
    settings = {"run": {"task": str(tmp_path / "words")}, "budget": {"evaluations": 5 * 48}}
    assert with_n(load_config([settings, {"gate": {"test_instances": 48}}])).attempt["candidates"] == 4


def test_its_endpoint_may_be_named_without_its_route_and_need_not_load_adapters(endpoint, tmp_path) -> None:
    asked = config(tmp_path, endpoint.url.removesuffix("/v1"))
    assert open_try(asked, tmp_path / "best-of-n-seed0").config().model.url == endpoint.url


def test_an_interrupted_try_goes_on_and_one_that_ended_is_made_anew(tmp_path: Path) -> None:
    asked, folder = config(tmp_path), tmp_path / "best-of-n-seed0"
    first = begun(open_try(asked, folder))
    assert first.run_id == "best-of-n-seed0-1"
    assert open_try(asked, folder).run_id == first.run_id
    first.open_ledger().submit([RunFinished(run_id=first.run_id, state="failed", why="no model")])
    assert open_try(asked, folder).run_id == "best-of-n-seed0-2"
