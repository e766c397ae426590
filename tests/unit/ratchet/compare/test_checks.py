"""What an arm can't do is said before the first run of a comparison is paid for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet.compare.arms import read_arms
from ratchet.compare.study import Study, run_study
from ratchet.runs import folder as runs
from ratchet.runs.request import RunRequest
from shared.config.settings import BudgetSection, load_config
from shared.errors import AdaptersUnsupportedError, SettingsError
from shared.messages.events import RunFinished
from tests.loop.toy_world import make_task
from tests.parts.endpoint import Endpoint


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as running:
        running.lora_routes = False
        yield running


def study(folder: Path, endpoint: Endpoint, *arms: str) -> Study:
    task = make_task(folder / "task")
    config = load_config([{"run": {"task": task}, "model": {"url": endpoint.url, "base": "/a/folder"}}])
    return Study(config, read_arms(arms), 1, BudgetSection(evaluations=400), folder / "study")


def quiet(_: str) -> None:
    """Progress is not looked at."""


def test_weights_on_an_endpoint_without_adapters_are_refused_before_the_harness_runs(
    endpoint, tmp_path
) -> None:
    with pytest.raises(AdaptersUnsupportedError, match="can't load adapters"):
        run_study(study(tmp_path, endpoint, "harness", "weights"), quiet)
    assert not (tmp_path / "study").exists()


def test_one_lever_never_stands_in_the_table_as_both(endpoint, tmp_path) -> None:
    with pytest.raises(
        SettingsError, match=r"the arm both would pull the harness alone: .*can't load adapters"
    ):
        run_study(study(tmp_path, endpoint, "harness", "both"), quiet)
    assert not (tmp_path / "study").exists()


def test_a_knob_in_an_arms_own_file_that_the_task_does_not_have_is_named_first(endpoint, tmp_path) -> None:
    own = tmp_path / "cold.toml"
    own.write_text('run = {levers = "harness"}\nharness = {temprature = 0.1}\n')
    with pytest.raises(SettingsError, match="temprature"):
        run_study(study(tmp_path, endpoint, "harness", str(own)), quiet)
    assert not (tmp_path / "study").exists()


def test_runs_that_are_there_are_read_again_without_their_endpoint(endpoint, tmp_path) -> None:
    made = study(tmp_path, endpoint, "both")
    folder = runs.create(RunRequest(made.config, "toy", made.root, "both-seed0"))
    ledger = folder.open_ledger()
    ledger.create_schema()
    ledger.create_run(folder.run_id)
    ledger.submit([RunFinished(run_id=folder.run_id, state="done", why="")])
    run_study(made, quiet)
    assert endpoint.seen == []
