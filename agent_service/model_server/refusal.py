"""An error in place of a completion: a status, OpenAI's error type, and the reason in words."""

from __future__ import annotations

from shared.errors import RatchetError


class Refusal(RatchetError):
    """A request that can't be served as asked. The server itself is well."""

    def __init__(self, message: str, *, status: int = 400, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


def unknown_model(name: str) -> Refusal:
    """Never the base model in its place: an adapter's name must give the adapter's answers or none."""
    return Refusal(
        f"no model or adapter is named {name!r}; GET /v1/models lists them", status=404, kind="NotFoundError"
    )
