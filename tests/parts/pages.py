"""Pages of the console, asked for without a network. Not a test."""

from pathlib import Path

from starlette.testclient import TestClient

from ratchet.ui.app import make_app

MOST_BYTES = 1_000_000


def client_of(root: Path) -> TestClient:
    return TestClient(make_app(root), base_url="http://127.0.0.1")


def page(client: TestClient, path: str) -> str:
    """A page that is there, below a megabyte."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) < MOST_BYTES, path
    return answer.text
