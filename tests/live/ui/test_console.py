"""The console over a finished toy run: every page, hostile text, access, events, and a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from benchmarks._listening import listening
from ratchet.ui.app import make_app
from tests.live.stack import browser
from tests.loop.toy_world import World
from tests.parts.pages import client_of, page

HOSTILE = "<script>document.title = 'owned'</script>"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of two generations, whose instance ids hold markup."""
    root = tmp_path_factory.mktemp("runs")
    world = World(root / "toy", {"run": {"generations": 2}})
    assert world.run().state == "done"
    return root


@pytest.fixture
def client(root: Path) -> TestClient:
    return client_of(root)


def test_every_page_of_a_finished_run_is_there(client: TestClient) -> None:
    assert "/runs/toy" in page(client, "/")
    run = page(client, "/runs/toy")
    assert "Sealed test: first" in run
    assert run.count('class="arm-both"') > 1
    assert "data-events" not in run  # nothing more will come
    generation = page(client, "/runs/toy/generations/1")
    assert "Why the gate decided" in generation
    assert 'aria-label="Difference to base' in generation
    attempts = page(client, "/runs/toy/generations/1/train")
    attempt = re.search(r"/runs/toy/attempts/[0-9a-f]+/\d+", attempts)
    assert attempt
    assert "<h2>Final evaluation</h2>" in page(client, attempt[0])
    assert "toy" in page(client, "/compare?run=toy&run=toy")


def test_a_comparison_shows_its_pictures_and_no_other_file(tmp_path: Path) -> None:
    place = tmp_path / "compared"
    place.mkdir()
    (place / "comparison.json").write_text('{"runs": [], "pairs": [], "arms": {}, "machine": "a machine"}')
    (place / "sealed.png").write_bytes(b"\x89PNG")
    client = client_of(tmp_path)

    shown = page(client, "/comparisons/compared")
    assert re.findall(r'src="(/comparisons/[^"]+)"', shown) == ["/comparisons/compared/sealed.png"]
    assert "a machine" in shown
    picture = client.get("/comparisons/compared/sealed.png")
    assert (picture.content, picture.headers["content-type"]) == (b"\x89PNG", "image/png")
    for path in ("compared/candidates.png", "compared/comparison.json", "none/sealed.png"):
        assert client.get(f"/comparisons/{path}").status_code == 404, path


def test_what_is_not_there_is_a_page_that_says_so(client: TestClient) -> None:
    for path in ("/runs/none", "/runs/toy/generations/99", "/runs/toy/attempts/00/0", "/runs/..%2Ftoy"):
        answer = client.get(path)
        assert answer.status_code == 404, path
    assert "no run" in client.get("/runs/none").text


def test_text_of_a_candidate_is_shown_and_never_run(client: TestClient) -> None:
    answer = client.get(f"/runs/{HOSTILE}")
    assert HOSTILE not in answer.text
    assert (
        "script-src" in answer.headers["content-security-policy"]
        or "default-src 'self'" in (answer.headers["content-security-policy"])
    )


def test_events_are_streamed_and_the_stream_ends_with_the_run(client: TestClient) -> None:
    stream = client.get("/runs/toy/events?after=0").text
    assert '"text": "run started"' in stream
    assert stream.rstrip().endswith("event: end\ndata: {}")
    last = max(int(seq) for seq in re.findall(r"id: (\d+)", stream))
    assert "id:" not in client.get(f"/runs/toy/events?after={last}").text


def test_nothing_can_be_changed_through_it(client: TestClient) -> None:
    for path in ("/", "/runs/toy", "/runs/toy/generations/1"):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert client.request(method, path).status_code == 405


def test_another_host_or_a_wrong_token_is_refused(root: Path) -> None:
    local = make_app(root, hosts=frozenset({"127.0.0.1"}))
    assert TestClient(local, base_url="http://evil.example").get("/").status_code == 421
    opened = TestClient(make_app(root, token="right"), base_url="http://console.example")
    assert opened.get("/").status_code == 401
    assert opened.get("/?token=wrong").status_code == 401
    assert opened.get("/?token=right").status_code == 200
    assert opened.get("/runs/toy").status_code == 200  # the cookie carries it on


@pytest.fixture
def address(root: Path) -> Iterator[str]:
    with listening(make_app(root)) as url:
        yield url


def test_a_real_browser_draws_the_run(address: str, tmp_path: Path) -> None:
    drawn = browser.page(f"{address}/runs/toy", tmp_path / "profile")
    assert drawn.count("<circle") >= 6
    assert "<title>toy - Ratchet</title>" in drawn
