"""What a user asks of a run is looked at before anything begins."""

import pytest

from ratchet.runs.request import resolve_config
from shared.errors import SettingsError


@pytest.mark.parametrize(
    ("task", "settings", "said"),
    [
        ("trimul", ["training.algorithm=gpro"], "unknown algorithm 'gpro'"),
        ("trimul", ["training.algorithm=supervised"], "tells no right answers"),
        (
            "intents",
            ["training.algorithm=supervised", "training.demonstrations=0"],
            "training.demonstrations is 0",
        ),
    ],
)
def test_an_algorithm_that_no_update_could_use_is_refused_with_the_known_ones(
    task: str, settings: list[str], said: str
) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        resolve_config(task, None, settings, None)
    assert "auto, best_of_n, dpo, entropic, grpo, ppo, reinforce, supervised" in caught.value.hint


@pytest.mark.parametrize(
    ("task", "name"), [("trimul", "grpo"), ("intents", "supervised"), ("trimul", "auto")]
)
def test_an_algorithm_that_the_task_has_samples_for_stands(task: str, name: str) -> None:
    assert resolve_config(task, None, [f"training.algorithm={name}"], None).training.algorithm == name


@pytest.mark.parametrize("option", ["stop=['x']", "reasoning_effort='low'", "extra_body={user = 'me'}"])
def test_a_parameter_that_the_own_server_would_refuse_is_refused_before_the_run(option: str) -> None:
    with pytest.raises(SettingsError, match=f"model.{option.partition('=')[0]}: Ratchet's own server"):
        resolve_config("intents", None, [f"model.{option}"], None)
    served = [f"model.{option}", "model.url='http://127.0.0.1:1/v1'"]
    assert resolve_config("intents", None, served, None).model.url
