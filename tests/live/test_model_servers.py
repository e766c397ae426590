"""The local stack's own model servers, as processes: one comes with the first run on a base, forgets the
adapters of runs that ended, and goes when no run has needed it for a while.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ratchet.stack.model_servers import ModelServers
from ratchet.stack.served_model import ModelWatch
from shared.config.settings import RunConfig, StackSettings
from shared.ledger.ledger import Ledger
from shared.messages import events as e
from shared.model.served import look_up
from shared.store.store import LocalStore, put_bundle, put_json, read_folder
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
        self.adapter = write_adapter(root / "adapter", self.model, seed=1)
        store = LocalStore(root / "store")
        self.config = put_json(store, RunConfig())
        self.base = put_bundle(store, read_folder(self.model))
        self.folder = root / "models"
        self.servers = ModelServers(ModelWatch(self.settings), self.folder, root / "logs", kept_s=1.0)

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

    def models(self) -> set[str]:
        """What the server of the base lists; nothing while it does not answer."""
        served = look_up(self.folder, self.base)
        try:
            listed = httpx.get(f"{served.url}/models", trust_env=False).json() if served else {"data": []}
        except httpx.TransportError:
            return set()
        return {model["id"] for model in listed["data"]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    (tmp_path / "logs").mkdir()
    yield made
    made.servers.close()


def test_a_server_forgets_an_ended_run_s_adapters_and_goes_after_the_last_run(world: World) -> None:
    world.start("one")
    world.start("two")
    world.until(lambda: bool(world.models()))
    [program] = world.servers.programs
    [base] = world.models()
    served = look_up(world.folder, world.base)
    assert served is not None
    for name in ("one-g1-abc", "two-g1-abc"):
        order = {"lora_name": name, "lora_path": str(world.adapter)}
        httpx.post(f"{served.url}/load_lora_adapter", json=order, trust_env=False).raise_for_status()
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
