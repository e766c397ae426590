"""Settings: a run's config (TOML, dotted overrides), and where a stack's ledger, store and broker are.

Unknown keys and out-of-range values are SettingsError with the key's dotted name. Reads no environment.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import (
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from shared.config.endpoints import FROM_USER
from shared.config.endpoints import SECRET_NAME as SECRET_NAME
from shared.config.endpoints import AdvisorSection as AdvisorSection
from shared.config.endpoints import EndpointSection as EndpointSection
from shared.config.endpoints import ModelSection as ModelSection
from shared.config.endpoints import Section as Section
from shared.errors import SettingsError

Levers = Literal["both", "auto", "harness", "weights"]  # auto: shared/decisions/lever_choice.py
WorkerService = Literal["agent", "sandbox", "feedback"]
RETIRED = {"model": ("temperature",), "training": ("micro_batch",)}  # keys of older versions, by section


class RunSection(Section):
    task: str = ""  # a name under tasks/, or a folder's path
    seed: int = Field(0, ge=0)
    generations: int = Field(3, ge=1, le=10_000)  # at most; convergence or a budget may end it sooner
    levers: Levers = "both"


class RolloutsSection(Section):
    instances: int = Field(12, ge=1)  # train instances a generation
    attempts: int = Field(2, ge=1)  # attempts an instance
    shard: int = Field(6, ge=1)  # instances a shard
    design: int = Field(0, ge=0)  # train attempts a generation that try other knobs: docs/analyst.md


class GateSection(Section):
    """Which test a confirmation is decided by, and its terms: docs/gate.md."""

    test: Literal["graded", "right_or_wrong", "betting"] = "graded"
    alpha: float = Field(0.05, gt=0, lt=0.5)
    min_effect: float = Field(0.01, ge=0)  # in units of the score
    # By how much a release with less prompt text may be worse, in units of the score; 0: none is proposed.
    no_worse_margin: float = Field(0.0, ge=0)
    screen_instances: int = Field(8, ge=2)
    round_instances: int = Field(12, ge=1)  # fresh instances a confirmation round
    max_pairs: int = Field(36, ge=1)
    test_instances: int = Field(16, ge=2)
    max_failure_rise: float = Field(0.1, ge=0, le=1)  # guard rail: share of failing attempts above base's
    max_token_ratio: float = Field(0.0, ge=0)  # guard rail: reply tokens, times base's; 0: no limit
    max_latency_ratio: float = Field(0.0, ge=0)  # guard rail: seconds waited for the model, likewise
    guard_alpha: float = Field(0.01, ge=0, lt=0.5)  # a promotion within its limits is taken back; 0: no guard
    group: str = ""  # an instance's field; no group of its values may lose more than group_margin
    group_margin: float = Field(0.0, ge=0)  # in units of the score


class TrainingSection(Section):
    """Weight updates. 0 and "auto" leave the choice to the trainer (docs/weights.md)."""

    algorithm: str = "auto"  # or a name of the trainer's registry
    demonstrations: int = Field(1024, ge=0)  # train instances whose right answers an update may learn from
    steps: int = Field(0, ge=0, le=10_000)
    learning_rate: float = Field(0.0, ge=0, le=1.0)
    batch: int = Field(0, ge=0)  # samples (or pairs) a step
    kl_weight: float = Field(0.05, ge=0)  # of the divergence from the base: a share of the advantages' spread
    lora_rank: int = Field(8, ge=1, le=512)
    lora_targets: tuple[str, ...] = ()  # names of projections, e.g. ["q_proj", "v_proj"]; empty: all
    device: Literal["auto", "cpu"] = "auto"  # auto: the GPU where there is one; unusable, it is an error
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    gradient_checkpointing: bool = False  # layers are computed twice, and activations need not be kept
    micro_tokens: int = Field(2048, ge=1)  # of a forward pass of one process, padding included
    max_tokens: int = Field(0, ge=0)  # of a prompt and its answer; longer ones are left out. 0: the model's
    max_kl: float = Field(10.0, gt=0)  # nats a token from the base: what has moved further is refused
    max_gap: float = Field(0.25, gt=0)  # nats a token between the endpoint's log-probabilities and ours
    zero_stage: int = Field(0, ge=0, le=3)
    processes: int = Field(1, ge=1)
    threads: int = Field(2, ge=1)  # of the trainer's processes together, on CPU


class BudgetSection(Section):
    """Hard caps of a whole run; 0 means no cap."""

    evaluations: int = Field(0, ge=0)
    tokens: int = Field(0, ge=0)
    wall_s: float = Field(0.0, ge=0)
    gpu_s: float = Field(0.0, ge=0)  # of training, of replies of our own server, of CUDA candidates
    usd: float = Field(0.0, ge=0)


class ConvergenceSection(Section):
    window: int = Field(4, ge=1)  # generations without a promotion that make a plateau
    idle: int = Field(8, ge=1)  # ... and that end the run


class RunConfig(Section):
    """One run, whole. Task defaults lie below the user's file, and that below `--set a.b=c`."""

    run: RunSection = RunSection()
    model: ModelSection = ModelSection()
    advisor: AdvisorSection = AdvisorSection()
    rollouts: RolloutsSection = RolloutsSection()
    gate: GateSection = GateSection()
    training: TrainingSection = TrainingSection()
    budget: BudgetSection = BudgetSection()
    convergence: ConvergenceSection = ConvergenceSection()
    attempt: dict[str, int | float] = Field(default_factory=dict)  # limits in the place of the task's
    harness: dict[str, bool | int | float | str] = Field(
        default_factory=dict
    )  # knobs that the run starts with
    data: dict[str, bool | int | float | str] = Field(
        default_factory=dict
    )  # for the task's data.py; the task's [defaults.data] names them all

    @model_validator(mode="before")
    @classmethod
    def _drop_retired(cls, values: Any, info: ValidationInfo) -> Any:
        """A stored config of an older version still reads; a key that a user writes is never ignored."""
        if info.context == FROM_USER or not isinstance(values, dict):
            return values
        return without_retired(values)


class StackParts(Section):
    """The ledger, store and broker of a run; empty: Ratchet starts its own. No URL holds a password: a secret
    is named as `env:NAME` or `file:/path`, and shared/config/secrets.py alone reads it."""

    model_config = ConfigDict(hide_input_in_errors=True)  # a wrong URL may hold a password

    ledger_url: str = ""  # sqlite:////path, or postgresql+psycopg://user@host:5432/database
    store_url: str = ""  # a folder, or s3://bucket/prefix?endpoint=https://host:9000
    broker_url: str = ""  # redis://user@host:6379/0, or rediss:// with ?ssl_ca_certs=/path
    ledger_password: str = Field("env:PGPASSWORD", pattern=SECRET_NAME.pattern)
    store_access_key: str = Field("env:AWS_ACCESS_KEY_ID", pattern=SECRET_NAME.pattern)
    store_secret_key: str = Field("env:AWS_SECRET_ACCESS_KEY", pattern=SECRET_NAME.pattern)
    store_session_token: str = Field(
        "env:AWS_SESSION_TOKEN", pattern=SECRET_NAME.pattern
    )  # where it is temporary
    broker_password: str = Field("env:REDIS_PASSWORD", pattern=SECRET_NAME.pattern)
    moved_model_url: str = (
        ""  # where the endpoint of model.url answers now; `ratchet resume --model-url` sets it
    )
    signing_key: str = Field("", pattern=SECRET_NAME.pattern + "|^$")  # of adapters, the trainer's alone; a
    # file is made at first use. Empty: beside the runs
    outage_s: float = Field(900.0, gt=0)  # how long an endpoint, a store or a ledger may be unreachable
    job_limit_s: float = Field(900.0, ge=180)  # of a job, its last minute for an orderly end. Not training's
    traces_url: str = ""  # where OpenTelemetry spans go, by OTLP over HTTP; empty: there are none
    log_format: Literal["text", "json"] = "text"  # of the services' logs
    log_mb: float = Field(64.0, gt=0)  # size at which a log file is rotated
    workers: dict[WorkerService, Annotated[int, Field(ge=1, le=64)]] = Field(default_factory=dict)

    @field_validator("ledger_url", "store_url", "broker_url")
    @classmethod
    def _without_password(cls, url: str, info: ValidationInfo) -> str:
        split = urlsplit(url)
        if split.password is not None or "password" in parse_qs(split.query):
            field = {"ledger_url": "ledger_password", "broker_url": "broker_password"}
            name = field.get(str(info.field_name), "store_secret_key")
            where = cls.model_fields[name].default
            raise ValueError(
                f"no password may stand in a URL: leave it out, and put it where {name} points ({where})"
            )
        return url


LAST_S = 90.0  # of a job's limit, beside one reply's: the model is asked for nothing more


def longest_reply_s(job_limit_s: float) -> float:
    """What model.timeout_s may be at most: one reply must fit into a job twice, or a job could only wait."""
    return (job_limit_s - LAST_S) / 2


class StackSettings(StackParts):
    """One running stack. Written by the supervisor, read by the workers."""

    ledger_url: str
    store_url: str
    broker_url: str
    model_url: str = ""  # an endpoint for every run; a run's model.url wins
    models_dir: Path | None = (
        None  # where a local stack's model servers announce themselves (model/served.py)
    )
    cache_dir: Path  # unpacked bundles, checkpoints in progress: may be deleted when nothing runs
    queue_prefix: str = "ratchet:"
    lease_s: float = Field(60.0, gt=0)
    max_attempts: int = Field(4, ge=1)
    reconcile_s: float = Field(5.0, gt=0)


def without_retired(sections: dict[str, Any]) -> dict[str, Any]:
    """Without the keys that only older versions knew."""
    return {
        name: {key: value for key, value in section.items() if key not in RETIRED.get(name, ())}
        if isinstance(section, dict)
        else section
        for name, section in sections.items()
    }


def load_config(layers: Iterable[dict[str, Any]]) -> RunConfig:
    """RunConfig from layers of nested tables, later ones winning. Raises SettingsError naming bad keys."""
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge(merged, layer)
    try:
        return RunConfig.model_validate(merged, context=FROM_USER)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        known = ", ".join(RunConfig.model_fields)
        raise SettingsError("; ".join(lines), f"sections are {known}; `--dry-run` prints every key") from None


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SettingsError(f"no such file: {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None


def parse_override(text: str) -> dict[str, Any]:
    """`a.b=3` as {"a": {"b": 3}}. The value is TOML where it parses, else a string."""
    name, equals, raw = text.partition("=")
    if not equals or not name.strip():
        raise SettingsError(f"not an override: {text!r}", "write it as section.key=value")
    try:
        value: Any = tomllib.loads(f"v = {raw}")["v"]
    except tomllib.TOMLDecodeError:
        value = raw
    for part in reversed(name.strip().split(".")):
        value = {part: value}
    return dict(value)


def _merge(into: dict[str, Any], layer: dict[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, dict) else value
