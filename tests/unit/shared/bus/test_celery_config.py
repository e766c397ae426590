"""The start-up check of Celery's configuration: what drifts, or could run a job twice at once, is refused."""

from pathlib import Path

import pytest

from shared.bus.celery_app import make_app
from shared.bus.celery_config import TASK_NAMES, celery_config, refuse_drift
from shared.config.settings import StackSettings
from shared.errors import SettingsError
from shared.messages.routes import SERVICES

STACK = StackSettings(
    ledger_url="sqlite:///x", store_url="x", broker_url="redis://127.0.0.1:1/0", cache_dir=Path("x")
)


@pytest.mark.parametrize("service", [*SERVICES, None])
def test_every_app_is_as_configured(service: str | None) -> None:
    app = make_app(STACK, service)  # type: ignore[arg-type]
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_acks_late is (service != "trainer")


def test_drift_is_refused_by_name() -> None:
    expected = celery_config(STACK, "agent")
    with pytest.raises(SettingsError, match="drifted: task_acks_late, worker_concurrency"):
        refuse_drift(expected | {"task_acks_late": False, "worker_concurrency": 8}, expected)


def test_a_broker_url_from_the_environment_is_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:2/0")
    with pytest.raises(SettingsError, match="broker_url"):
        make_app(STACK, "agent")


def test_limits_and_worker_counts_are_the_stacks() -> None:
    stack = STACK.model_copy(update={"job_limit_s": 3600.0, "workers": {"agent": 3}})
    agent, trainer = celery_config(stack, "agent"), celery_config(stack, "trainer")
    refuse_drift(agent, agent)
    assert (agent["worker_concurrency"], trainer["worker_concurrency"]) == (3, 1)
    assert (agent["task_time_limit"], celery_config(STACK, "agent")["task_time_limit"]) == (3600, 900)
    shown = [one["broker_transport_options"]["visibility_timeout"] for one in (agent, trainer)]
    assert shown == [7200, 7200]


def test_a_job_may_not_outlast_the_visibility_of_its_message() -> None:
    config = celery_config(STACK, "agent") | {"task_time_limit": 1760}
    with pytest.raises(SettingsError, match="redelivered after 1800 s"):
        refuse_drift(config, config)


def test_a_doorbell_is_named_by_service_and_event() -> None:
    assert TASK_NAMES["shard_opened.v1"] == "agent.ShardOpened"
    assert TASK_NAMES["job_died.v1"] == "feedback.JobDied"
