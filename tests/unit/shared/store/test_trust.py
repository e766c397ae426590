"""Whom a run trusts for an adapter: its own trainer, or that of the run which a release comes from."""

from shared.messages.events import AdapterPublished, BaseReady, EvaluationRequested, Join, Message, RunStarted
from shared.messages.records import Release
from shared.store.trust import Trust, trust_of

JOIN = Join(id="j", slot="weights", expected=2)
THEIRS = Release(base="b", harness="h", adapter="theirs")


def trust(*events: Message) -> Trust:
    return trust_of("run", events)


def started(**origin: str) -> RunStarted:
    return RunStarted(run_id="run", config="c", start=THEIRS if origin else None, **origin)


def ready(signer: str = "") -> BaseReady:
    return BaseReady(run_id="run", base="b", signer=signer)


def published(adapter: str, signer: str = "") -> AdapterPublished:
    return AdapterPublished(run_id="run", generation=1, join=JOIN, adapter=adapter, reason="r", signer=signer)


def test_a_run_trusts_the_key_that_its_trainer_announced_for_every_adapter() -> None:
    found = trust(started(), ready("key"), published("mine"))
    assert found.of("mine") == found.of("forged") == found.of(None) == Trust("run", "key")


def test_a_run_that_began_before_signing_asks_for_a_signature_only_of_what_came_later() -> None:
    found = trust(started(), ready(), published("old"), published("new", "key"))
    assert found.of("old") == Trust("run", "")
    assert found.of("new") == Trust("run", "key")


def test_a_run_that_starts_from_a_release_trusts_its_maker_for_that_adapter_alone() -> None:
    found = trust(started(made_by="origin", signer="theirs"), published("mine", "key"))
    assert found.of("theirs") == Trust("origin", "theirs")
    assert found.of("mine") == Trust("run", "key")


def test_an_evaluation_trusts_the_maker_of_the_release() -> None:
    asked = {"config": "c", "instances": "i", "release": THEIRS, "made_by": "origin", "signer": "theirs"}
    assert trust(EvaluationRequested(run_id="run", **asked)).of("theirs") == Trust("origin", "theirs")
