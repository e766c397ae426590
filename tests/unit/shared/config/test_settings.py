"""Every wrong setting is named by its dotted key; right ones layer."""

import pytest

from shared.config.settings import RunConfig, load_config, parse_override
from shared.errors import SettingsError


def test_later_layers_win_key_by_key() -> None:
    config = load_config([{"gate": {"alpha": 0.1, "max_pairs": 20}}, {"gate": {"alpha": 0.01}}])
    assert (config.gate.alpha, config.gate.max_pairs) == (0.01, 20)


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        ({"gate": {"alpah": 0.1}}, "gate.alpah"),
        ({"gate": {"alpha": 2.0}}, "gate.alpha"),
        ({"sorcery": {}}, "sorcery"),
        ({"run": {"levers": "all"}}, "run.levers"),
    ],
)
def test_a_wrong_key_or_value_is_named(layer: dict, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load_config([layer])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("gate.alpha=0.01", {"gate": {"alpha": 0.01}}),
        ("model.name=qwen", {"model": {"name": "qwen"}}),
        ('model.name="a=b"', {"model": {"name": "a=b"}}),
    ],
)
def test_an_override_is_a_dotted_key_and_a_value(text: str, value: dict) -> None:
    assert parse_override(text) == value


def test_what_is_no_override_says_how_to_write_one() -> None:
    with pytest.raises(SettingsError, match=r"section\.key=value"):
        parse_override("alpha")


def test_a_stored_config_with_a_retired_key_still_reads() -> None:
    stored = RunConfig().model_dump()
    stored["training"]["micro_batch"] = 16
    assert RunConfig.model_validate(stored) == RunConfig()


def test_a_retired_key_that_a_user_writes_is_a_mistake() -> None:
    with pytest.raises(SettingsError, match=r"training\.micro_batch"):
        load_config([{"training": {"micro_batch": 16}}])
