"""The ledger, store and broker of a run: where they are set, and that the run's folder remembers them."""

from pathlib import Path

import pytest

from ratchet.runs import folder as runs
from ratchet.runs import parts
from ratchet.runs.request import RunRequest, resolve_config
from shared.config.settings import StackParts, load_config
from shared.errors import LedgerError, SettingsError
from shared.ledger.ledger import Ledger

CONFIG = load_config([{"run": {"task": "trimul"}}])


@pytest.fixture
def shared_ledger(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'shared.sqlite'}"
    Ledger(url).create_schema()
    return url


def test_flags_win_over_set_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        '[stack]\nledger_url = "sqlite:////a"\nbroker_url = "redis://a/0"\nledger_password = "file:/a"\n'
    )
    overrides = ["stack.broker_url=redis://b/0", "stack.store_url=s3://bucket"]
    found = parts.resolve(file, overrides, store_url="s3://another", broker_url=None)
    assert found == StackParts(
        ledger_url="sqlite:////a",
        store_url="s3://another",
        broker_url="redis://b/0",
        ledger_password="file:/a",
    )


def test_where_a_run_runs_is_no_part_of_what_it_does(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('[stack]\nledger_url = "sqlite:////a"\n[gate]\nalpha = 0.01\n')
    config = resolve_config("trimul", file, ["stack.store_url=s3://bucket"], None)
    assert config.gate.alpha == 0.01
    assert config == resolve_config("trimul", None, ["gate.alpha=0.01"], None)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("stack.ledger='x'", "stack.ledger"),
        ("stack.ledger_password='hush'", "stack.ledger_password"),
        ("stack.broker_url='redis://:hush@host/0'", "env:REDIS_PASSWORD"),
        ("stack.broker_url='redis://host/0?password=hush'", "env:REDIS_PASSWORD"),
        ("stack.store_url='s3://me:hush@bucket'", "env:AWS_SECRET_ACCESS_KEY"),
        ("stack='x'", "stack is a section"),
    ],
)
def test_a_wrong_key_or_a_password_in_a_url_is_named_and_not_repeated(text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named) as caught:
        parts.resolve(None, [text])
    assert "hush" not in str(caught.value)


def test_a_run_on_its_own_parts_remembers_nothing(tmp_path: Path) -> None:
    folder = runs.create(RunRequest(CONFIG, "trimul", tmp_path, "mine", StackParts()))
    assert not (folder.path / "parts.json").exists()
    assert folder.parts.ledger_url == f"sqlite:///{folder.path}/ledger.sqlite"
    assert (folder.parts.store_url, folder.parts.broker_url) == (f"{folder.path}/store", "")


def test_a_run_remembers_whose_parts_it_uses_until_they_move(tmp_path: Path, shared_ledger: str) -> None:
    chosen = StackParts(ledger_url=shared_ledger, broker_url="redis://a/0")
    runs.create(RunRequest(CONFIG, "trimul", tmp_path / "runs", "mine", chosen))
    folder = runs.find("mine", tmp_path / "runs")
    assert folder.parts == chosen.model_copy(update={"store_url": str(folder.path / "store")})
    folder.move_parts(broker_url="redis://b/0", ledger_url=None)
    assert folder.parts.broker_url == "redis://b/0"
    assert folder.parts.ledger_url == shared_ledger
    folder.move_parts(broker_url="")
    assert folder.parts.broker_url == ""


def test_a_run_does_not_move_to_a_ledger_that_does_not_know_it(tmp_path: Path, shared_ledger: str) -> None:
    folder = runs.create(
        RunRequest(CONFIG, "trimul", tmp_path / "runs", "mine", StackParts(ledger_url=shared_ledger))
    )
    empty = f"sqlite:///{tmp_path / 'empty.sqlite'}"
    Ledger(empty).create_schema()
    with pytest.raises(LedgerError, match="no run 'mine' in this ledger"):
        folder.move_parts(ledger_url=empty)
    assert folder.parts.ledger_url == shared_ledger


def test_a_name_is_taken_once_in_a_ledger_that_several_use(tmp_path: Path, shared_ledger: str) -> None:
    chosen = StackParts(ledger_url=shared_ledger)
    here = runs.create(RunRequest(CONFIG, "trimul", tmp_path / "here", "", chosen))
    there = runs.create(RunRequest(CONFIG, "trimul", tmp_path / "there", "", chosen))
    assert (here.run_id, there.run_id) == ("trimul-1", "trimul-2")
    with pytest.raises(SettingsError, match="in its ledger"):
        runs.create(RunRequest(CONFIG, "trimul", tmp_path / "there", "trimul-1", chosen))
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["trimul-2"]
