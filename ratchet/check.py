"""One checked condition, as `ratchet doctor` and `ratchet validate` report it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """`hint`: what to do where it is not ok."""

    name: str
    ok: bool
    detail: str = ""
    hint: str = ""
