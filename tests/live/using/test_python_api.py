"""The Python interface on real parts: a whole run from functions, its releases answering, an evaluation."""

from pathlib import Path

import pytest

import ratchet
from ratchet.api.release import ReleaseHandle
from ratchet.api.run import Run
from ratchet.runs import folder as runs
from ratchet.runs.request import RunRequest, resolve_config
from ratchet.tasks import new_task
from shared.errors import RatchetError
from tests.live.test_wheel import SMALL
from tests.live.using.test_serving import begin, releases_of
from tests.parts.endpoint import Endpoint
from tests.unit.ratchet.api.test_own_task import Words as Whole


class Words:
    """Without an example, from which a seed model would be made."""

    draw = Whole.__dict__["draw"]
    score = Whole.__dict__["score"]


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_two_releases_of_one_run_answer_each_with_its_own_harness(tmp_path: Path) -> None:
    new_task.create(tmp_path / "words")
    with Endpoint(lambda body: body["messages"][-1]["content"].split()[-1]) as endpoint:
        config = resolve_config(str(tmp_path / "words"), None, [f"model.url='{endpoint.url}'"], None)
        folder = runs.create(RunRequest(config, "words", tmp_path / "runs"))
        old, new, *_ = releases_of(folder, tmp_path / "words/harness")
        begin(folder, old)
        with Run(folder).release(0) as first, ReleaseHandle(folder, new) as second:
            assert first.answer({"length": 4}) == "w0"
            assert second.answers([{"length": 4}, '{"length": 5}']) == ["w1", "w1"]
            assert first.answer({"length": 6}) == "w0"
            with pytest.raises(RatchetError, match="no JSON object"):
                first.answer("a word")
    assert not list(folder.path.glob("serving-*"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_functions_become_a_task_a_run_and_an_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = ratchet.task(prompt="length {length}", place=tmp_path / "tasks")(Words)
    with Endpoint() as endpoint:
        model = {"url": endpoint.url}
        found = ratchet.run(task, model=model, levers="harness", settings=SMALL, root=tmp_path / "runs")
        scored = ratchet.evaluate(
            task, found.release(0), [{"length": 4}, {"length": 6}], root=tmp_path / "runs"
        )
    assert found.state == "done"
    assert found.release(0).release.base.startswith("endpoint:")  # no model was fetched or made
    assert list(found.generations.index) == [1]
    assert "1/1" in capsys.readouterr().err
    assert found.report().exists()
    scored.require_all()
    assert list(scored.scores["outcome"]) == ["ok", "ok"]
    assert scored.mean == pytest.approx(scored.scores["score"].mean())
