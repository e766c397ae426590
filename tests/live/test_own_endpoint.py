"""`ratchet run` on an endpoint and a broker that Ratchet did not start: harness-only, and reported as
such."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet.stack.broker import Broker
from ratchet.stack.processes import stop_all
from ratchet.tasks import new_task
from tests.parts.endpoint import Body, Endpoint, Fault

RATCHET = str(Path(sys.executable).with_name("ratchet"))
SMALL = ("run.generations=1", "rollouts.instances=4", "gate.screen_instances=2", "gate.max_pairs=2")


@pytest.mark.slow
def test_an_endpoint_that_can_not_load_adapters_gets_a_harness_only_run(tmp_path: Path) -> None:
    new_task.create(tmp_path / "words")
    broker = Broker(tmp_path / "broker", tmp_path / "broker.log")
    with Endpoint(lambda body: "abcde"[: 2 + body.get("seed", 0) % 4]) as endpoint:
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
    assert f"{endpoint.url} can't load adapters" in done.stderr
    assert "harness-only run" in done.stderr
    shown = json.loads(done.stdout)
    assert shown["state"] == "done"
    [generation] = shown["generations"]
    assert generation["arms"]["weights"] is None
    assert "harness lever alone" in json.dumps(generation)
    assert not (tmp_path / "runs" / "words-1" / "broker").exists()


@pytest.mark.slow
def test_an_account_that_runs_dry_pauses_the_run_and_a_resume_pays_nothing_twice(tmp_path: Path) -> None:
    new_task.create(tmp_path / "words")
    paid = 6

    class Metered(Endpoint):
        def respond(self, path: str, body: Body) -> Fault:
            if path.endswith("/completions") and len(self.asked) > paid and not self.well:
                return Fault(402, b'{"error": {"message": "Insufficient credits"}}')
            return super().respond(path, body)

    with Metered(lambda body: "abcde"[: 2 + body.get("seed", 0) % 4]) as endpoint:
        settings = (*SMALL, f"model.url='{endpoint.url}'", "rollouts.shard=4", "gate.test_instances=2")
        options = [word for setting in settings for word in ("--set", setting)]
        endpoint.well = False
        command = [RATCHET, "run", "words", "--name", "r", "--levers", "harness", *options]
        paused = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=170)
        assert paused.returncode == 75
        assert "run r is paused: " in paused.stderr
        assert "Insufficient credits" in paused.stderr
        assert "`ratchet resume r` continues from here" in paused.stderr

        still = subprocess.run(
            [RATCHET, "resume", "r"], capture_output=True, text=True, cwd=tmp_path, timeout=170
        )
        assert still.returncode == 2  # it asks the endpoint before it continues

        endpoint.well = True
        again = [RATCHET, "resume", "r", "--json"]
        done = subprocess.run(again, capture_output=True, text=True, cwd=tmp_path, timeout=170)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "done"
    taken = [json.dumps(body, sort_keys=True) for body in endpoint.asked[:paid]]
    assert not set(taken) & {json.dumps(body, sort_keys=True) for body in endpoint.asked[paid:]}


@pytest.mark.slow
def test_a_run_whose_endpoint_has_moved_goes_on_there_and_pays_nothing_twice(tmp_path: Path) -> None:
    new_task.create(tmp_path / "words")

    class Closing(Endpoint):
        def respond(self, path: str, body: Body) -> Fault:
            if path.endswith("/completions") and len(self.asked) > 6:
                return Fault(404, b'{"error": {"message": "The model `seed` does not exist."}}')
            return super().respond(path, body)

    def answer(body: Body) -> str:
        return "abcde"[: 2 + body.get("seed", 0) % 4]

    with Closing(answer) as old, Endpoint(answer) as new:
        settings = (*SMALL, f"model.url='{old.url}'", "rollouts.shard=4", "gate.test_instances=2")
        options = [word for setting in settings for word in ("--set", setting)]
        command = [RATCHET, "run", "words", "--name", "r", "--levers", "harness", *options]
        paused = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=170)
        assert paused.returncode == 75, paused.stderr
        asked_before = len(old.asked)
        again = [RATCHET, "resume", "r", "--json", "--model-url", new.url.removesuffix("/v1")]
        done = subprocess.run(again, capture_output=True, text=True, cwd=tmp_path, timeout=170)
        assert len(old.asked) == asked_before
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "done"
    paid = [json.dumps(body, sort_keys=True) for body in old.asked[:6]]
    assert not set(paid) & {json.dumps(body, sort_keys=True) for body in new.asked}
