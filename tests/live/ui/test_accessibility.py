"""Every kind of page in a real browser: axe-core finds nothing serious in light or dark, no error is printed
to the browser's console, and a phone needs no sideways scrolling.
"""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks._listening import listening
from benchmarks.console.big_run import write_run
from ratchet.ui.app import make_app
from ratchet.ui.runs import Runs
from tests.live.stack import browser
from tests.live.ui.axe import checked

PHONE = 390  # CSS pixels
INTERVAL = {"mean": 0.1, "low": 0.0, "high": 0.2, "n": 3}
COMPARISON = {
    "runs": [{"arm": "both", "seed": 0, "sealed": 0.5, "cost": {"evaluations": 9, "tokens": 9, "wall_s": 9}}],
    "arms": {"both": INTERVAL},
    "pairs": [{"arm": "both", "minus": "base", "difference": INTERVAL, "p": 0.04, "p_holm": 0.08}],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_run(root, "run", 30, 600)
    write_run(root, "open", 2, 40, finished=False)
    (root / "compared").mkdir()
    (root / "compared" / "comparison.json").write_text(json.dumps(COMPARISON))
    return root


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    with listening(checked(make_app(root))) as url:
        yield url


PATHS = {
    "runs": "/",
    "run": "/runs/run",
    "generation": "/runs/run/generations/30",
    "attempts": "/runs/run/generations/30/screen",
    "attempt": "/runs/run/attempts/SHARD/0",
    "lineage": "/runs/run/lineage?second=PROMOTED",
    "chosen": "/compare?run=run&run=open",
    "comparison": "/comparisons/compared",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", PATHS)
def test_a_page_is_fit_for_everyone(kind: str, root: Path, address: str, tmp_path: Path) -> None:
    history = Runs(root).view("run").history
    shard = history.all[30].rollouts[("screen", 0)].results[0]
    path = PATHS[kind].replace("SHARD", shard).replace("PROMOTED", str(history.promotions[-1].number))
    drawn, printed = browser.page_and_console(address + path, tmp_path / "profile")
    found = re.search(r'<pre id="axe">(.*?)</pre>', drawn, re.DOTALL)
    assert found, drawn[-300:]
    result = json.loads(html.unescape(found[1]))
    assert result["serious"] == []
    assert result["wide"] <= PHONE
    assert printed == []
