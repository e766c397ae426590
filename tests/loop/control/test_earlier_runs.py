"""What other runs of a folder tell a run: which of its cases they used, and how far differences spread."""

from pathlib import Path

import pytest

from ratchet.cli import tables
from ratchet.reports import report
from ratchet.reports.show import show_run
from ratchet.runs.earlier.reading import others
from ratchet.runs.earlier.spread import pooled
from ratchet.runs.earlier.uses import uses_foreseen, uses_text
from ratchet.runs.folder import RunFolder
from shared.decisions.evidence.power import foreseen
from shared.decisions.settling import settle
from shared.ledger.steering.reopening import reopen
from shared.store.shards import get_shard
from shared.tasks.task import task_of
from tests.loop.toy_world import World

GATE = {"screen_instances": 4, "round_instances": 6, "max_pairs": 18, "test_instances": 4}


def world(
    root: Path, name: str, seed: int = 1, gate: dict[str, int] | None = None, **changes: object
) -> World:
    sections = {"run": {"generations": 1, "seed": seed}, "gate": GATE | (gate or {})}
    return World(root / name, sections, name=name, **changes)  # type: ignore[arg-type]


def used_before(made: World) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = show_run(RunFolder(made.folder))["gate"]["used_before"]
    return found


def test_cases_that_another_run_used_before_are_counted_and_said(tmp_path: Path) -> None:
    first, second = world(tmp_path, "first"), world(tmp_path, "second")
    first.run()
    second.run()
    confirmed = sum(1 for event in second.opened if event.purpose == "confirm")
    found = used_before(second)
    assert found["gate"] == {
        "cases": 4 + 6 * confirmed,
        "used_before": 4 + 6 * confirmed,
        "most_times": 1,
        "by_runs": ["first"],
    }
    assert found["test"] == {"cases": 4, "used_before": 4, "most_times": 1, "by_runs": ["first"]}
    gate, test = uses_text(found)
    assert gate.startswith(f"{4 + 6 * confirmed} of {4 + 6 * confirmed} gate cases were used before")
    assert test.startswith("the sealed test was opened by 1 earlier run of this folder (first) on 4 of 4")


@pytest.mark.slow
def test_a_later_run_and_a_run_on_other_cases_or_of_another_task_have_used_nothing(tmp_path: Path) -> None:
    made, later, elsewhere = (world(tmp_path, name, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    other = world(tmp_path, "d")
    manifest = other.folder / "task" / "task.toml"
    manifest.write_text(manifest.read_text().replace('"toy"', '"toys"'))
    for one in (other, elsewhere, made, later):
        one.run()
    found = used_before(made)
    assert found["gate"]["used_before"] == found["test"]["used_before"] == 0
    assert uses_text(found) == []


def test_a_run_that_is_about_to_start_hears_of_the_cases_that_it_would_be_judged_by(tmp_path: Path) -> None:
    first = world(tmp_path, "first")
    first.run()
    task = task_of(first.config)
    again = uses_foreseen(others(tmp_path, "toy"), first.config, task)
    assert again["test"]["used_before"] == 4
    assert again["gate"]["by_runs"] == ["first"]
    fresh = first.config.model_copy(update={"run": first.config.run.model_copy(update={"seed": 2})})
    assert uses_text(uses_foreseen(others(tmp_path, "toy"), fresh, task)) == []


@pytest.mark.slow
def test_the_start_the_report_and_show_print_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = world(tmp_path, "first"), world(tmp_path, "second")
    first.run()
    second.run()
    folder = RunFolder(second.folder)
    (folder.path / "config.json").write_text(second.config.model_dump_json())
    said = "the sealed test was opened by 1 earlier run of this folder (first) on 4 of 4 cases"
    written = report.write(folder)
    assert f"**Warning:** {said}" in written.read_text()
    assert said in written.with_suffix(".html").read_text()
    tables.print_run(show_run(folder))
    tables.print_plan(second.config, tmp_path, as_json=False, run="second")
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count(said) == 2
    assert "claimed is the mean gain by case, over the 4096 cases that the task deals first" in printed


def test_runs_that_there_is_no_time_for_or_that_lie_on_a_server_count_as_not_read(tmp_path: Path) -> None:
    world(tmp_path, "first").run()
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "parts.json").write_text('{"ledger_url": "postgresql+psycopg://db/ratchet"}')
    assert others(tmp_path, "toy").unread == 1
    late = others(tmp_path, "toy", within_s=-1.0)
    assert (late.runs, late.unread) == ([], 2)


def test_the_spread_is_that_of_earlier_confirmations_and_goes_into_the_foresight(tmp_path: Path) -> None:
    made = world(tmp_path, "first", gate={"round_instances": 18})
    history = made.run()
    task = task_of(made.config)
    differences: list[float] = []
    chosen = ""
    for (purpose, _), rollout in sorted(history.all[1].rollouts.items()):
        if purpose == "confirm":
            chosen = rollout.opened.releases[1].arm
            states = [get_shard(made.store, digest) for digest in rollout.results]
            instances = [
                attempt.plan.instance for attempt in states[0].attempts if attempt.plan.arm == "base"
            ]
            differences += settle(states, {}, chosen, instances, task.manifest.score).differences
    mean = sum(differences) / len(differences)
    found = pooled(others(tmp_path, "toy"), made.config, task)
    assert found is not None
    assert (found.source, found.squares, found.runs) == ("confirmations", len(differences) - 1, 1)
    assert found.spread**2 == pytest.approx(
        sum((one - mean) ** 2 for one in differences) / (len(differences) - 1)
    )
    assert foreseen(made.config, task, found.spread)["at_the_measured_spread"]["spread"] == found.spread


def without_confirmations(root: Path) -> World:
    sections = {"run": {"generations": 1}, "rollouts": {"instances": 20, "attempts": 2}, "gate": GATE}
    return World(root / "first", sections, name="first", refuse_harness=True, fail_training=True)


def test_without_confirmations_it_is_that_of_two_attempts_of_one_release_on_one_instance(
    tmp_path: Path,
) -> None:
    made = without_confirmations(tmp_path)
    made.run()
    found = pooled(others(tmp_path, "toy"), made.config, task_of(made.config))
    assert found is not None
    assert (found.source, found.squares) == ("equals", 20)
    assert 0.02 < found.spread < 0.15  # the toy's scores have a spread of 0.05 of their own
    other = made.config.model_copy(update={"attempt": {"max_tokens": 20}})
    assert pooled(others(tmp_path, "toy"), other, task_of(made.config)) is None


def test_attempts_that_were_refused_before_a_run_was_reopened_are_no_pairs_of_equals(tmp_path: Path) -> None:
    made = without_confirmations(tmp_path)
    made.refused = "no such model"
    assert made.run().state == "failed"
    made.refused = ""
    reopen(made.ledger, made.name)
    made.bus.drain()
    found = pooled(others(tmp_path, "toy"), made.config, task_of(made.config))
    assert found is not None
    assert (found.source, found.squares) == ("equals", 20)
