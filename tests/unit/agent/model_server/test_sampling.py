"""From logits to tokens, with distributions small enough to check by hand."""

import math

import numpy as np
import torch

from agent_service.model_server.decoding.sampling import logprob_of, sample, uniforms


def draw(
    probs: list[float],
    uniform: float,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    allowed: list[bool] | None = None,
) -> int:
    mask = None if allowed is None else torch.tensor([allowed])
    logits = torch.tensor([probs], dtype=torch.float64).log()
    return int(
        sample(
            logits, mask, *(torch.tensor([v], dtype=torch.float64) for v in (temperature, top_p, uniform))
        )[0]
    )


def test_a_uniform_falls_into_the_tokens_share_of_the_unit_interval() -> None:
    assert [draw([0.2, 0.5, 0.3], u) for u in (0.0, 0.19, 0.21, 0.69, 0.71, 0.999)] == [0, 0, 1, 1, 2, 2]


def test_temperature_zero_takes_the_likeliest_token_that_is_allowed() -> None:
    assert draw([0.2, 0.5, 0.3], 0.0, temperature=0.0) == 1
    assert draw([0.2, 0.5, 0.3], 0.0, temperature=0.0, allowed=[True, False, True]) == 2


def test_a_temperature_of_one_half_squares_the_probabilities() -> None:
    # 0.04, 0.25, 0.09 of 0.38: the borders lie at 0.105 and 0.763
    assert [draw([0.2, 0.5, 0.3], u, temperature=0.5) for u in (0.10, 0.11, 0.76, 0.77)] == [0, 1, 1, 2]


def test_top_p_keeps_the_likeliest_tokens_up_to_its_mass() -> None:
    # 0.5 alone does not reach 0.6, so 0.3 stays too; the borders lie at 0.5 / 0.8 = 0.625
    assert [draw([0.2, 0.5, 0.3], u, top_p=0.6) for u in (0.0, 0.62, 0.63, 0.999)] == [1, 1, 2, 2]
    assert draw([0.2, 0.5, 0.3], 0.999, top_p=0.01) == 1


def test_the_largest_uniform_never_gives_a_forbidden_token() -> None:
    almost_one = float(np.nextafter(1.0, 0.0))
    assert draw([0.3, 0.4, 0.3], almost_one, allowed=[True, True, False]) == 1
    assert draw([0.1] * 10, almost_one) == 9


def test_rows_of_a_batch_keep_their_own_settings() -> None:
    logits = torch.tensor([[0.2, 0.5, 0.3]]).log().repeat(3, 1)
    columns = [
        torch.tensor(c, dtype=torch.float64) for c in ([0.0, 1.0, 1.0], [1.0, 1.0, 0.01], [0.9, 0.9, 0.9])
    ]
    assert sample(logits, None, *columns).tolist() == [1, 2, 1]


def test_log_probabilities_are_those_of_the_full_vocabulary_at_temperature_one() -> None:
    logits = torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, math.log(3.0), -50.0, -50.0]])
    assert torch.allclose(logprob_of(logits, torch.tensor([2, 1])).exp(), torch.tensor([0.25, 0.75]))


def test_a_rows_randomness_hangs_on_seed_and_index_only() -> None:
    assert np.array_equal(uniforms(3, 1, 5), uniforms(3, 1, 9)[:5])
    assert not np.array_equal(uniforms(3, 1, 5), uniforms(3, 2, 5))
    assert not np.array_equal(uniforms(3, 1, 5), uniforms(4, 1, 5))
    assert uniforms(-1, 0, 1).shape == (1,)
