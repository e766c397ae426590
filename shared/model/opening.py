"""Opens an endpoint from its section of the config: its key and secret headers come from the environment or
from files, by name.
"""

from __future__ import annotations

import os

from shared.config.secrets import read_secret
from shared.config.settings import SECRET_NAME, EndpointSection
from shared.errors import SettingsError
from shared.model.address import identity
from shared.model.client import Chat
from shared.model.options import options_of
from shared.model.prices import Price
from shared.store.store import Store

NO_KEY = "none"  # the user's own endpoint needs none, but the client requires a value


def open_chat(
    section: EndpointSection, store: Store, *, url: str = "", api_key: str = "", concurrency: int = 1
) -> Chat:
    """`url` and `api_key`: where the section names none, as for a model that the stack serves: its replies
    depend on the weights alone. A user's endpoint shares none with another, and keeps its replies when it has
    moved to `url`."""
    return Chat(
        url or section.url,
        store,
        api_key=api_key or _key(section.api_key_env) or NO_KEY,
        timeout_s=section.timeout_s,
        concurrency=concurrency,
        options=options_of(section),
        headers=_headers(section),
        identity=identity(section.url),
        price=Price(section.usd_prompt or 0.0, section.usd_completion or 0.0),
    )


def _key(variable: str) -> str:
    return _sendable(os.environ.get(variable, ""), f"the variable {variable}")


def _headers(section: EndpointSection) -> dict[str, str]:
    given = section.headers.items()
    values = {name: read_secret(value) if SECRET_NAME.match(value) else value for name, value in given}
    return {name: _sendable(value, f"the header {name}") for name, value in values.items()}


def _sendable(value: str, where: str) -> str:
    """Without the line end of the file that it came from. Raises SettingsError, which must not show it."""
    value = value.strip()
    if not (value.isascii() and value.isprintable()):
        raise SettingsError(
            f"{where} holds characters that no request can carry", "is it the key alone, in one line?"
        )
    return value
