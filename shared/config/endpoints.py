"""The sections of a config that name an endpoint: where it is, how it wants to be asked, what it costs. No
key stands in them, only where it is.
"""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

FROM_USER = "from the user"  # validation context: what a stored config may still hold is a mistake there
OF_REQUEST = frozenset(  # what arms are told apart and paired by, and what harness and limits decide
    {"model", "messages", "n", "seed", "temperature", "max_tokens", "max_completion_tokens"}
    | {"logprobs", "return_token_ids", "response_format"}
)
CAN_BE_OMITTED = OF_REQUEST - {"model", "messages"} | {"system"}
SECRET_QUERY = {
    "key",
    "api_key",
    "apikey",
    "api-key",
    "token",
    "access_token",
    "password",
    "subscription-key",
}
SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie", re.I)
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
NO_ADDRESS = "it is no address: write it as http://HOST:PORT/v1"
LONGEST_S = 86_400.0  # a day: what is more (infinity, too) no clock of the system can wait for
SECRET_NAME = re.compile(r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$")


def _is_address(split: SplitResult) -> bool:
    """Not with a character that nobody sees, as one that is copied from a page may hold."""
    try:
        (split.hostname or "").encode("idna")
        seen = split.geturl().isprintable()
        return seen and split.scheme in ("http", "https") and bool(split.hostname) and split.port != 0
    except ValueError:  # of the port, or of a name that none can have
        return False


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EndpointSection(Section):
    """An OpenAI-compatible endpoint and the parameters of requests to it (docs/endpoints.md)."""

    model_config = ConfigDict(hide_input_in_errors=True)  # a wrong URL may hold a password

    url: str = ""  # e.g. http://host:8000/v1; several, separated by spaces, serve the same model
    name: str = ""  # the model's name there
    api_key_env: str = ""  # the name of the variable, never the key
    timeout_s: float = Field(120.0, gt=0, le=LONGEST_S)  # for one reply
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    omit: tuple[str, ...] = ()  # parameters that are not sent: seed, temperature, logprobs, n, ...
    top_p: float | None = Field(None, gt=0, le=1)
    stop: tuple[str, ...] = ()
    reasoning_effort: str = ""
    chat_template: dict[str, Any] = Field(default_factory=dict)  # sent as chat_template_kwargs
    extra_body: dict[str, Any] = Field(default_factory=dict)  # sent as it is
    headers: dict[str, str] = Field(default_factory=dict)  # a secret's value is env:NAME or file:/path
    usd_prompt: float | None = Field(None, ge=0)  # US dollars a million tokens; None: the list price
    usd_completion: float | None = Field(None, ge=0)

    @field_validator("url")
    @classmethod
    def _addresses_without_secret(cls, url: str) -> str:
        each = list(filter(None, re.split(r"[\s,]+", url)))
        if url and not each:
            raise ValueError(NO_ADDRESS)
        for split in map(urlsplit, each):
            if not _is_address(split):
                raise ValueError(NO_ADDRESS)
            names = {name.lower() for name in parse_qs(split.query)}
            if split.password is not None or split.username is not None or names & SECRET_QUERY:
                raise ValueError(
                    "no key or password may stand in a URL: put it in the variable of api_key_env"
                )
        return url

    @field_validator("omit")
    @classmethod
    def _sent_at_all(cls, omit: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.context == FROM_USER and (strange := sorted(set(omit) - CAN_BE_OMITTED)):
            known = ", ".join(sorted(CAN_BE_OMITTED))
            raise ValueError(f"no request holds {', '.join(strange)}; what can be left out: {known}")
        return omit

    @field_validator("extra_body")
    @classmethod
    def _nothing_of_the_request(cls, extra: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if info.context == FROM_USER and (taken := sorted(OF_REQUEST & extra.keys())):
            raise ValueError(
                f"{', '.join(taken)} stands in every request already; omit leaves out what can be left out"
            )
        return extra

    @field_validator("headers")
    @classmethod
    def _secrets_by_name(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if SECRET_HEADER.search(name) and not SECRET_NAME.match(value):
                raise ValueError(f"the value of {name} is a secret: write env:NAME or file:/path")
        return headers


class ModelSection(EndpointSection):
    """Which model. Without `url` Ratchet serves the base itself."""

    name: str = "seed"
    base: str = "seed"  # or "smollm2", a folder in Hugging Face format, a .gguf file, a hub's ID@REVISION
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = Field(32, ge=1, le=1024)  # requests in flight; the local server batches them


class AdvisorSection(EndpointSection):
    """A language model that proposes harness patches and weight updates (docs/feedback.md). Without `url` the
    offline analyst does it alone."""

    api_key_env: str = "ADVISOR_API_KEY"
    engine: Literal["analysis", "gepa", "openevolve"] = "analysis"  # who asks it, and reads its answers
    temperature: float = Field(0.7, ge=0.0, le=2.0)
    max_tokens: int = Field(4096, ge=256)
    timeout_s: float = Field(300.0, gt=0, le=LONGEST_S)
    drafts: int = Field(3, ge=1, le=8)  # answers a generation, at most; fewer where a budget is nearly spent
