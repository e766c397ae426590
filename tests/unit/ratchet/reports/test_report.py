"""The report of a toy run: one HTML file that loads nothing, and the Markdown with the same pictures."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from ratchet.reports import report
from ratchet.reports.costs import Spent, spent
from ratchet.reports.wealth import wealth_path, wealth_paths
from ratchet.runs.folder import RunFolder
from shared.config.settings import load_config
from shared.decisions.evidence.betting import log_wealth
from shared.messages.evidence import GateRecord
from shared.messages.records import Cost
from tests.loop.toy_world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    sections = {"run": {"generations": 2}, "budget": {"evaluations": 100_000}}
    world = World(tmp_path_factory.mktemp("runs") / "toy", sections)
    assert world.run().state == "done"
    (world.folder / "config.json").write_text(json.dumps(world.config.model_dump(mode="json")))
    return world


@pytest.fixture(scope="module")
def pages(world: World) -> tuple[str, str]:
    """The HTML and the Markdown."""
    path = report.write(RunFolder(world.folder))
    return path.with_suffix(".html").read_text(), path.read_text()


def test_the_html_loads_nothing_and_holds_every_picture_of_the_markdown(pages: tuple[str, str]) -> None:
    html, markdown = pages
    inside = re.findall(r'src="(data:image/png;base64,[A-Za-z0-9+/=]+)"', html)
    assert len(inside) == len(re.findall(r"!\[.*\]\(.*\.png\)", markdown)) == 4
    assert "wealth.png" in markdown
    assert set(re.findall(r'(?:src|href)="([^"]{1,30})', html)) == {source[:30] for source in inside}
    assert not re.search(r"https?://|url\(|@import|<script|<link", html)
    assert len(html) < 1_000_000


def test_both_say_the_same_numbers(pages: tuple[str, str], world: World) -> None:
    html, markdown = unescape(pages[0]), pages[1]
    for generation in world.history().generations:
        assert generation.why.split(":")[0] in html
        assert generation.why.split(":")[0] in markdown
    intervals = re.findall(r"\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", markdown)
    assert len(intervals) > 8
    assert set(intervals) <= set(re.findall(r"\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", html))


def test_both_say_why_an_arm_was_not_measured(tmp_path: Path) -> None:
    world = World(tmp_path / "toy", {"run": {"generations": 1}}, fail_training=True)
    world.run()
    (world.folder / "config.json").write_text(json.dumps(world.config.model_dump(mode="json")))
    markdown = report.write(RunFolder(world.folder))
    for page in (markdown, markdown.with_suffix(".html")):
        assert "weights was not measured: the loss exploded" in page.read_text()


def test_text_of_a_run_is_never_markup(world: World) -> None:
    hostile = world.config.model_copy(update={"harness": {"pin": "<script>x</script>"}})
    (world.folder / "config.json").write_text(json.dumps(hostile.model_dump(mode="json")))
    html = report.write(RunFolder(world.folder)).with_suffix(".html").read_text()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_what_is_used_stands_beside_its_limit(world: World) -> None:
    history = world.history()
    found = {row.name: row for row in spent(history, world.config)}
    assert found["evaluations"].used == history.cost.evaluations
    assert found["evaluations"].text.endswith("of 100,000")
    assert found["usd"] == Spent("usd", 0.0, None)
    paid = replace(history, cost=Cost(prompt_tokens=3, completion_tokens=4))
    assert next(row for row in spent(paid, load_config([])) if row.name == "tokens").used == 7


def test_the_wealth_of_a_promotion_passes_where_the_gate_promoted(world: World) -> None:
    paths = wealth_paths(world.history(), world.store)
    assert paths[1][-1] >= 1 > paths[1][0]


def test_wealth_is_that_of_the_bets() -> None:
    record = GateRecord(test="betting", differences=(0.5, 0.5, -0.5), alpha=0.1, threshold=10.0, bound=1.0)
    path = wealth_path(record)
    assert path[2] < path[1]
    assert path[1] == pytest.approx(2.718281828459045 ** log_wealth((0.5, 0.5), 1.0, 0.0) * 0.1)
    assert wealth_path(GateRecord()) == []


def test_right_or_wrong_counts_wins_over_those_asked_for() -> None:
    terms = {"test": "right_or_wrong", "alpha": 0.05, "threshold": 20.0, "bound": 1.0, "max_pairs": 12}
    path = wealth_path(GateRecord(differences=(1.0,) * 12, **terms))
    assert path[0] == 0.0
    assert path[-1] >= 1.0
    none = wealth_path(GateRecord(differences=(-1.0,) * 12, **terms))
    assert max(none) == 0.0
