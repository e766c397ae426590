"""Many cases of one behaviour: one in so many in `make test`, all of them in `make test-all`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def one_in(count: int, cases: Iterable[Any]) -> list[Any]:
    """For pytest.mark.parametrize: the first case and each `count`th after it; the others are slow."""
    return [
        case
        if place % count == 0
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for place, case in enumerate(cases)
    ]


def chosen(request: pytest.FixtureRequest, parameter: str) -> list[str]:
    """The parameter's values in this session's tests of the fixture's module: a fixture that is dear makes
    only those."""
    beside = [item for item in request.session.items if item.path == request.path]
    calls = [
        item.callspec for item in beside if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    ]
    return [call.params[parameter] for call in calls if parameter in call.params]
