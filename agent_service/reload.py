"""The time from a promotion's commit to the first step of the new harness and the first verified reply of the
new adapter. Folded from the event log, so that each is reported once in a run."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from shared.ledger.ledger import LoggedEvent
from shared.messages.events import ReleasePromoted, ShardFinished
from shared.messages.records import Release

LEVERS_OF_ARM = {"harness": {"harness_ms"}, "weights": {"adapter_ms"}, "both": {"harness_ms", "adapter_ms"}}


@dataclass(frozen=True)
class Reload:
    """A promoted release that is about to be used, and which of its times are not reported yet."""

    release: Release
    promoted_at: float  # seconds since 1970
    missing: frozenset[str]

    def since_ms(self, at: float) -> float:
        return max(at - self.promoted_at, 0.0) * 1000

    def now_ms(self) -> float:
        return self.since_ms(time.time())


def find_reload(log: Iterable[LoggedEvent], releases: Collection[Release]) -> Reload | None:
    """The run's last promotion, if these releases hold it and a time of it is missing."""
    promoted: LoggedEvent | None = None
    missing: set[str] = set()
    for logged in log:
        if isinstance(logged.event, ReleasePromoted):
            promoted, missing = logged, set(LEVERS_OF_ARM.get(logged.event.arm, ()))
        elif isinstance(logged.event, ShardFinished):
            missing -= logged.event.reload.keys()
    if promoted is None or not missing:
        return None
    assert isinstance(promoted.event, ReleasePromoted)
    release = promoted.event.release
    return Reload(release, promoted.at, frozenset(missing)) if release in releases else None
