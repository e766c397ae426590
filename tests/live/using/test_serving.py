"""`ratchet serve`: a real openai client asks a served release while five more are promoted. The model is a
small endpoint that answers with the prompt's last word, so that a reply shows the harness it came from.
"""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from openai import BadRequestError, OpenAI

from benchmarks._listening import listening
from ratchet.reports.show import show_json
from ratchet.runs import folder as runs
from ratchet.runs.control.starting_from import find_origin
from ratchet.runs.folder import RunFolder
from ratchet.runs.request import RunRequest, resolve_config
from ratchet.runs.start import create, first_event
from ratchet.serving.answerer import Answer
from ratchet.serving.app import make_app
from ratchet.serving.feedback import Feedback
from ratchet.serving.instances import read_instance, text_field
from ratchet.serving.serve import field_of, serving
from ratchet.tasks import new_task
from shared.decisions.posted import posted_instances
from shared.errors import SettingsError
from shared.ledger.history.folding import fold
from shared.messages.events import BaseReady, ReleasePromoted, RolloutsOpened, RunStarted, ScorePosted
from shared.messages.records import ArmRelease, PostedScore, Release
from shared.store.store import get_json, get_record, put_bundle, put_folder, put_json, read_folder
from shared.tasks.task import find_task
from tests.parts.endpoint import Endpoint

PROMOTIONS = 5


@dataclass
class Served:
    folder: RunFolder
    releases: list[Release]
    url: str

    def promote(self, number: int) -> None:
        promoted = ReleasePromoted(
            run_id=self.folder.run_id,
            generation=number,
            release=self.releases[number],
            arm="harness",
            evidence="",
            why="for the test",
        )
        self.folder.open_ledger().submit([promoted])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A run whose log holds a first release; served, and followed."""
    new_task.create(tmp_path / "words")
    with Endpoint(lambda body: body["messages"][-1]["content"].split()[-1]) as endpoint:
        config = resolve_config(str(tmp_path / "words"), None, [f"model.url='{endpoint.url}'"], None)
        folder = runs.create(RunRequest(config, "words", tmp_path / "runs"))
        releases = releases_of(folder, tmp_path / "words/harness")
        begin(folder, releases[0])
        with serving(folder, releases[0], True, tmp_path / "serving") as batches:
            app = make_app(batches, "words", field_of(folder), Feedback(folder))
            with listening(app) as url:
                yield Served(folder, releases, url)


def releases_of(folder: RunFolder, harness: Path) -> list[Release]:
    """Harnesses that differ in the last word of their prompt: its number."""
    store, files = folder.open_store(), read_folder(harness)
    prompt = files["prompts/user.md"].decode()
    numbered = [
        files | {"prompts/user.md": f"{prompt}\nw{number}".encode()} for number in range(PROMOTIONS + 1)
    ]
    return [Release(base="endpoint:seed", harness=put_bundle(store, one)) for one in numbered]


def begin(folder: RunFolder, first: Release) -> None:
    store, ledger = folder.open_store(), folder.open_ledger()
    ledger.create_schema()
    ledger.create_run(folder.run_id, folder.queue_prefix)
    config, run_id = put_json(store, folder.config()), folder.run_id
    opened = RolloutsOpened(
        run_id=run_id,
        generation=1,
        config=config,
        purpose="train",
        releases=(ArmRelease(arm="train", release=first),),
        instances=put_json(store, []),
        seeds=(1,),
    )
    ledger.submit(
        [RunStarted(run_id=run_id, config=config), BaseReady(run_id=run_id, base=first.base), opened]
    )


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def ask(client: OpenAI, length: int) -> tuple[str, str]:
    """The answer, and the digest of the release that gave it."""
    instance = json.dumps({"id": f"n{length}", "length": length})
    raw = client.chat.completions.with_raw_response.create(
        model="words", messages=[{"role": "user", "content": instance}]
    )
    body = json.loads(raw.text)
    assert body["ratchet"]["release"] == raw.headers["X-Ratchet-Release"]
    return body["choices"][0]["message"]["content"], raw.headers["X-Ratchet-Release"]


@pytest.mark.slow
def test_no_request_fails_while_five_releases_are_promoted_and_each_answer_is_of_one(served: Served) -> None:
    client = OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=60)
    numbers = {release.digest: number for number, release in enumerate(served.releases)}
    stop, found = threading.Event(), list[tuple[str, str]]()

    def load(length: int) -> None:
        while not stop.is_set():
            found.append(ask(client, length))

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(load, 3 + worker) for worker in range(4)]
        for number in range(1, PROMOTIONS + 1):
            served.promote(number)
            wanted = served.releases[number].digest
            while not any(release == wanted for _, release in found[-8:]):
                assert not any(future.done() for future in futures), [future.result() for future in futures]
                stop.wait(0.05)
        stop.set()
        for future in futures:
            future.result()
    assert {numbers[release] for _, release in found} == set(range(PROMOTIONS + 1)) - {0} | {
        numbers[found[0][1]]
    }
    assert all(answer == f"w{numbers[release]}" for answer, release in found), "an answer of another release"


def test_a_wrong_request_is_the_clients_fault(served: Served) -> None:
    client = OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=60)
    assert [model.id for model in client.models.list()] == ["words"]
    with pytest.raises(BadRequestError, match="no JSON object"):
        client.chat.completions.create(model="words", messages=[{"role": "user", "content": "a word"}])


def test_a_posted_score_becomes_a_train_instance_where_the_task_makes_one(served: Served) -> None:
    client = OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=60)
    made = client.chat.completions.create(
        model="words", messages=[{"role": "user", "content": '{"length": 4}'}]
    )
    other = client.chat.completions.create(
        model="words", messages=[{"role": "user", "content": '{"length": 4, "note": "the same length"}'}]
    )
    scores = f"{served.url}/v1/scores"
    posted = [httpx.post(scores, json={"id": made.id, "score": 0.5, "note": "short"}) for _ in range(2)]
    again = httpx.post(scores, json={"id": other.id, "score": 0.75})
    strange = [
        httpx.post(scores, json={"id": name, "score": 0.5})
        for name in ("ratchet-0", "../gate_order/words", f"ratchet-{'0' * 32}")
    ]

    assert [reply.status_code for reply in (*posted, again)] == [200] * 3
    assert [reply.status_code for reply in strange] == [400] * 3
    assert posted[0].json() == posted[1].json()
    log, store = served.folder.open_ledger().events(served.folder.run_id), served.folder.open_store()
    events = [logged.event for logged in log if isinstance(logged.event, ScorePosted)]
    assert [event.score for event in events] == [0.5, 0.75]
    kept = get_record(store, events[0].posted, PostedScore)
    assert (kept.instance["length"], kept.answer, kept.note) == (4, "w0", "short")
    assert kept.release == served.releases[0].digest
    (instance,) = posted_instances(fold(log), store)  # both are about the same length
    assert instance == {"id": instance["id"], "length": 4}
    assert instance["id"].startswith("posted-")
    assert show_json(fold(log), store)["posted"] == {"scores": 2, "mean": 0.625, "train_instances": 1}


def test_a_run_that_starts_from_a_served_release_takes_its_posted_instances_along(
    served: Served, tmp_path: Path
) -> None:
    feedback = Feedback(served.folder)
    feedback.remember(f"ratchet-{'a' * 32}", {"length": 5}, Answer("w0", "", served.releases[0].digest))
    feedback.post(f"ratchet-{'a' * 32}", 1.0, "", "")
    task = find_task(str(tmp_path / "words"))
    origin = find_origin("words-1", tmp_path / "runs", task)
    config = served.folder.config()
    request = RunRequest(config, "words", tmp_path / "runs", "after", origin=origin)

    class NoStack:
        def check(self, *_: object) -> None: ...

    folder = create(request, NoStack())  # type: ignore[arg-type]
    folder.open_ledger().create_schema()
    first = first_event(folder)
    assert first is not None
    (instance,) = get_json(folder.open_store(), first.posted)
    assert instance["length"] == 5


def test_text_goes_into_the_one_text_field_and_json_is_taken_as_it_is() -> None:
    assert text_field({"id": "a", "text": "hello", "n": 3}) == "text"
    assert text_field({"id": "a", "text": "hello", "title": "b"}) is None
    assert read_instance("hello there", "text")["text"] == "hello there"
    assert read_instance('{"id": "x", "text": "t"}', "text") == {"id": "x", "text": "t"}
    assert read_instance("[1]", "text")["text"] == "[1]"
    with pytest.raises(SettingsError, match="no JSON object"):
        read_instance("hello", None)


@pytest.mark.slow
def test_the_first_request_to_a_model_of_the_runs_own_waits_until_it_is_loaded(tmp_path: Path) -> None:
    from tests.parts.tiny_model import write_model  # imports torch

    new_task.create(tmp_path / "words")
    config = resolve_config(str(tmp_path / "words"), None, [], None)
    folder = runs.create(RunRequest(config, "words", tmp_path / "runs"))
    store = folder.open_store()
    base = put_folder(store, write_model(tmp_path / "model"))
    release = Release(base=base, harness=put_bundle(store, read_folder(tmp_path / "words/harness")))
    begin(folder, release)
    with serving(folder, release, False, tmp_path / "serving") as batches:
        answer = batches.submit({"id": "one", "length": 4}).result()
    assert answer.release == release.digest
    assert answer.content is not None or answer.error
