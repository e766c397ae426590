"""What would fail late fails before a run is created."""

import pytest

from ratchet.runs.checks import require_time
from shared.config.settings import load_config, longest_reply_s
from shared.errors import SettingsError


def test_one_slow_reply_may_not_take_a_whole_job() -> None:
    fits = load_config([{"model": {"timeout_s": 405}}])
    require_time(fits, 900)
    with pytest.raises(SettingsError, match=r"leaves a reply 405 \(set stack.job_limit_s=902\)"):
        require_time(load_config([{"model": {"timeout_s": 406}}]), 900)
    assert longest_reply_s(902) >= 406


def test_nor_may_one_slow_answer_of_the_advisor() -> None:
    with pytest.raises(SettingsError, match=r"advisor.timeout_s is 500"):
        require_time(load_config([{"advisor": {"timeout_s": 500}}]), 900)
