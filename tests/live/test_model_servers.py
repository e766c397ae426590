"""The local stack's own model servers, as processes: one comes with the first run on a base, forgets the
adapters of runs that ended, and goes when no run has needed it for a while.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ratchet.stack.model_servers import ModelServers
from ratchet.stack.served_model import ModelWatch
from shared.config.settings import ModelSection, RunConfig, StackSettings
from shared.ledger.ledger import Ledger
from shared.messages import events as e
from shared.model.served import look_up
from shared.store.store import LocalStore, put_bundle, put_folder, put_json, read_folder
from tests.parts.tiny_model import write_adapter, write_model

PATIENCE_S = 90.0


class World:
    """A ledger, a store with a base model in it, and the servers that follow from both."""

    def __init__(self, root: Path) -> None:
        url = f"sqlite:///{root / 'ledger.sqlite'}"
        self.ledger = Ledger(url)
        self.ledger.create_schema()
        self.settings = StackSettings(
            ledger_url=url, store_url=str(root / "store"), broker_url="", cache_dir=root / "cache"
        )
        self.model = write_model(root / "model")
        self.adapter = write_adapter(root / "cache/adapters/one", self.model, seed=1)
        store = LocalStore(root / "store")
        self.config = put_json(store, RunConfig())
        self.base = put_bundle(store, read_folder(self.model))
        self.folder = root / "models"
        self.servers = ModelServers(
            ModelWatch(self.settings), self.folder, root / "logs", root / "cache/adapters", kept_s=1.0
        )

    def start(self, run: str) -> None:
        self.ledger.create_run(run)
        self.ledger.submit(
            [e.RunStarted(run_id=run, config=self.config), e.BaseReady(run_id=run, base=self.base)]
        )

    def finish(self, run: str) -> None:
        self.ledger.submit([e.RunFinished(run_id=run, state="done", why="")])

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline
            self.servers.keep_running()
            time.sleep(0.1)

    def client(self) -> httpx.Client:
        served = look_up(self.folder, self.base)
        url, key = (served.url, served.api_key) if served else ("http://127.0.0.1:9", "")
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=url, headers=headers, trust_env=False, verify=False)  # no TLS is used:
        # reading certificates for each of many clients is most of what they would cost

    def models(self) -> set[str]:
        """What the server of the base lists; nothing while it does not answer."""
        try:
            with self.client() as client:
                listed = client.get("/models").json()
        except httpx.TransportError:
            return set()
        return {model["id"] for model in listed["data"]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    (tmp_path / "logs").mkdir()
    yield made
    made.servers.close()


@pytest.mark.slow
def test_a_server_forgets_an_ended_run_s_adapters_and_goes_after_the_last_run(world: World) -> None:
    world.start("one")
    world.start("two")
    world.until(lambda: bool(world.models()))
    [program] = world.servers.programs
    [base] = world.models()
    for name in ("one-g1-abc", "two-g1-abc"):
        order = {"lora_name": name, "lora_path": str(world.adapter)}
        with world.client() as client:
            client.post("/load_lora_adapter", json=order).raise_for_status()
    assert world.models() == {base, "one-g1-abc", "two-g1-abc"}

    world.finish("one")
    world.until(lambda: world.models() == {base, "two-g1-abc"})
    assert world.servers.programs == [program]

    world.finish("two")
    world.servers.keep_running()
    world.start("three")
    world.servers.keep_running()
    assert world.servers.programs == [program], "a run that comes soon after finds it warm"

    world.finish("three")
    world.until(lambda: not world.servers.programs)
    assert program.process is None or program.process.poll() is not None
    assert look_up(world.folder, world.base) is None


@pytest.mark.slow
def test_a_base_that_can_not_be_served_ends_its_runs_with_the_servers_reason(world: World) -> None:
    config = json.loads((world.model / "config.json").read_text()) | {
        "layer_types": ["chunked_attention"] * 2
    }
    (world.model / "config.json").write_text(json.dumps(config))
    store = LocalStore(Path(world.settings.store_url))
    world.base = put_folder(store, world.model)
    world.start("one")
    world.until(lambda: any(isinstance(logged.event, e.BaseFailed) for logged in world.ledger.events("one")))
    *_, last = world.ledger.events("one")
    assert last.event.reason.startswith("llama: layers of the kind chunked_attention are not served here")
    assert world.servers.programs == []
    assert look_up(world.folder, world.base) is None


def test_a_run_with_an_endpoint_needs_no_server_though_its_weights_are_here(world: World) -> None:
    store = LocalStore(Path(world.settings.store_url))
    world.config = put_json(store, RunConfig(model=ModelSection(url="http://127.0.0.1:9/v1", name="m")))
    world.start("one")
    world.servers.keep_running()
    assert world.servers.programs == []
