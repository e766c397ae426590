"""The base models that the local stack serves, from the run's log."""

from pathlib import Path

import pytest

from ratchet.stack.served_model import ModelWatch, NeededModel
from shared.config.settings import ModelSection, RunConfig, StackSettings
from shared.ledger.ledger import Ledger
from shared.messages import events as e
from shared.messages.records import Release
from shared.store.store import LocalStore, put_bundle, put_json

RUN = "run-1"


@pytest.fixture
def watch(tmp_path: Path) -> ModelWatch:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    Ledger(url).create_schema()
    Ledger(url).create_run(RUN)
    settings = StackSettings(
        ledger_url=url, store_url=str(tmp_path / "store"), broker_url="", cache_dir=tmp_path / "cache"
    )
    return ModelWatch(settings)


def test_the_base_model_of_the_log_is_served_under_the_configured_name(watch: ModelWatch) -> None:
    store = LocalStore(Path(watch.settings.store_url))
    config = put_json(store, RunConfig(model=ModelSection(name="small")))
    base = put_bundle(store, {"config.json": b"{}"})
    watch.ledger.submit([e.RunStarted(run_id=RUN, config=config)])
    assert watch.needed() == ({}, None)
    watch.ledger.submit([e.BaseReady(run_id=RUN, base=base)])
    assert watch.needed() == ({base: NeededModel(watch.settings.cache_dir / "bundles" / base, "small")}, None)
    assert (watch.settings.cache_dir / "bundles" / base / "config.json").exists()
    watch.ledger.submit([e.RunFinished(run_id=RUN, state="done", why="")])
    assert watch.needed() == ({}, None)  # no run needs it any more


def test_each_running_run_has_its_base_served_though_anothers_is_lost(watch: ModelWatch) -> None:
    store = LocalStore(Path(watch.settings.store_url))
    config = put_json(store, RunConfig())
    base = put_bundle(store, {"config.json": b"{}"})
    for run, digest in ((RUN, "0" * 64), ("run-2", base), ("run-3", base)):
        watch.ledger.create_run(run)
        watch.ledger.submit([e.RunStarted(run_id=run, config=config), e.BaseReady(run_id=run, base=digest)])
    needed, trouble = watch.needed()
    assert list(needed) == [base]
    assert "000000000000 is not in the store" in str(trouble)


@pytest.mark.parametrize("requested", [True, False])
def test_a_user_s_endpoint_needs_no_server(watch: ModelWatch, requested: bool) -> None:
    release = Release(base="endpoint:gpt", harness="h")
    evaluation = e.EvaluationRequested(run_id=RUN, config="c", release=release, instances="i")
    watch.ledger.submit([evaluation if requested else e.BaseReady(run_id=RUN, base="endpoint:gpt")])
    assert watch.needed() == ({}, None)
