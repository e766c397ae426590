"""Prometheus' metrics of a stack, compared with the ledger and the store of a whole toy run."""

import shutil
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ratchet.monitoring import metrics
from ratchet.monitoring.metrics import StackCollector
from ratchet.reports.show import show_json
from shared.config.settings import StackSettings
from shared.messages import events as e
from tests.loop.toy_world import RUN, World

Samples = dict[tuple[str, ...], float]
NO_RUNS = {"gate": {"screen_instances": 4, "round_instances": 6, "max_pairs": 12}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A run of two generations that has ended, and one that has only begun."""
    world = World(tmp_path_factory.mktemp("toy"), {"run": {"generations": 2}})
    world.run()
    world.ledger.create_run("waiting")
    world.ledger.submit([e.RunStarted(run_id="waiting", config=world.config_digest)])
    return world


@pytest.fixture
def collector(world: World, tmp_path: Path) -> StackCollector:
    world.ledger.database.engine.dispose()  # as when its workers have ended: all is in the file
    shutil.copytree(world.folder, tmp_path, dirs_exist_ok=True)
    return StackCollector(
        StackSettings(
            ledger_url=f"sqlite:///{tmp_path / 'ledger.sqlite'}",
            store_url=str(tmp_path / "store"),
            broker_url="",
            cache_dir=tmp_path,
        )
    )


def scrape(collector: StackCollector) -> Samples:
    """By name and the labels' values, in the order of the labels' names. The text must parse."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    text = generate_latest(registry).decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_numbers_are_those_of_the_run(world: World, collector: StackCollector) -> None:
    found = scrape(collector)
    history = world.history()
    shown = show_json(history, world.store)

    assert found["ratchet_up",] == found["ratchet_store_up",] == 1
    assert (found["ratchet_runs", "done"], found["ratchet_runs", "running"]) == (1, 1)
    assert found["ratchet_generation", RUN] == 2
    arms = {arm: found["ratchet_promotions_total", arm, RUN] for arm in ("harness", "weights", "both")}
    assert sum(arms.values()) == len(history.promotions) > 0
    assert all(arms[generation.arm] for generation in history.promotions)
    assert found["ratchet_rejections_total", RUN] == 2 - len(history.promotions)
    assert found["ratchet_evaluations_total", RUN] == history.cost.evaluations > 0
    assert found["ratchet_tokens_total", "completion", RUN] == history.cost.completion_tokens > 0
    assert found["ratchet_reload_seconds", "harness", RUN] == 0.005
    for arm, interval in shown["generations"][-1]["arms"].items():
        assert found["ratchet_arm_score", arm, RUN] == interval["mean"]
        assert found["ratchet_arm_score_low", arm, RUN] == interval["low"]


def test_a_job_that_no_worker_takes_grows_old(
    collector: StackCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scrape(collector)
    assert found["ratchet_jobs", "waiting", "feedback", "ready"] == 1
    age_s = found["ratchet_oldest_ready_job_age_seconds", "feedback"]
    assert 0 < age_s < scrape(collector)["ratchet_oldest_ready_job_age_seconds", "feedback"]
    assert found["ratchet_oldest_ready_job_age_seconds", "trainer"] == 0


def test_a_death_is_counted_once_however_often_it_is_scraped(collector: StackCollector) -> None:
    died = e.JobDied(run_id="waiting", job_id="j", service="trainer", event={}, reason="tired", attempts=4)
    assert scrape(collector)["ratchet_jobs_died_total", "waiting", "trainer"] == 0
    collector.ledger.submit([died])
    for _ in range(2):
        assert scrape(collector)["ratchet_jobs_died_total", "waiting", "trainer"] == 1


def test_a_broken_ledger_is_seen_and_a_repaired_one_is_read_again(
    collector: StackCollector, tmp_path: Path
) -> None:
    whole = tmp_path / "ledger.sqlite"
    for file in tmp_path.glob("ledger.sqlite-*"):
        file.unlink()
    kept = whole.read_bytes()
    whole.write_bytes(b"no database at all" * 1000)
    assert scrape(collector) == {("ratchet_up",): 0.0}
    whole.write_bytes(kept)
    assert scrape(collector)["ratchet_up",] == 1


def test_a_lost_store_takes_only_the_scores_away(collector: StackCollector, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "store")
    found = scrape(collector)
    assert (found["ratchet_up",], found["ratchet_store_up",]) == (1, 0)
    assert found["ratchet_generation", RUN] == 2
    assert not [key for key in found if key[0] == "ratchet_arm_score"]


def test_a_run_that_ended_long_ago_is_only_counted(
    collector: StackCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ("ratchet_generation", RUN) in scrape(collector)
    monkeypatch.setattr(metrics, "SHOWN_S", -1.0)
    scrape(collector)  # the last time that it is shown
    found = scrape(collector)
    assert ("ratchet_generation", RUN) not in found
    assert found["ratchet_runs", "done"] == 1
    assert ("ratchet_generation", "waiting") in found
