"""`ratchet run` on an endpoint and a broker that Ratchet did not start: harness-only, and said so."""

import json
import subprocess
import sys
from pathlib import Path

from ratchet.stack.broker import Broker
from ratchet.stack.processes import stop_all
from ratchet.tasks import new_task
from tests.parts.endpoint import Endpoint

RATCHET = str(Path(sys.executable).with_name("ratchet"))
SMALL = ("run.generations=1", "rollouts.instances=4", "gate.screen_instances=2", "gate.max_pairs=2")


def test_an_endpoint_that_can_not_load_adapters_gets_a_harness_only_run(tmp_path: Path) -> None:
    new_task.create(tmp_path / "words")
    broker = Broker(tmp_path / "broker", tmp_path / "broker.log")
    with Endpoint(lambda body: "abcde"[: 2 + body["seed"] % 4]) as endpoint:
        endpoint.lora_routes = False
        settings = (*SMALL, f"model.url='{endpoint.url}'", "model.base='/a/model'")
        options = [word for setting in settings for word in ("--set", setting)]
        try:
            broker.program.keep_running()
            broker.wait()
            where = [
                *("--broker", broker.settings["broker_url"]),
                *("--set", f"stack.broker_password='{broker.settings['broker_password']}'"),
            ]
            command = [RATCHET, "run", "words", "--json", *where, *options]
            done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=170)
        finally:
            stop_all([broker.program])
            broker.holder.close()
    assert done.returncode == 0, done.stderr
    assert f"{endpoint.url} can't load adapters: harness-only run" in done.stderr
    shown = json.loads(done.stdout)
    assert shown["state"] == "done"
    [generation] = shown["generations"]
    assert generation["arms"]["weights"] is None
    assert "harness lever alone" in json.dumps(generation)
    assert not (tmp_path / "runs" / "words-1" / "broker").exists()
