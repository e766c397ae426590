"""Guard rails: what a release may not pay for its gain. Measured over a confirmation's pairs, beside
limits that the config states; a broken one rejects a release whose gain is confirmed.

They are limits on what was measured, not tests. A group of instances breaks its rail only where its loss
is clear of the margin by a standard error, so that a few unlucky pairs don't.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from shared.config.settings import GateSection
from shared.decisions.intervals import standard_error
from shared.decisions.settling import Settled
from shared.messages.evidence import Rail
from shared.messages.records import UNSCORED, AttemptState, JsonObject, Turn

FEWEST = 4  # pairs of a group
CHARS_A_TOKEN = 4  # where an endpoint returns no token ids
SAVING = 0.05  # of the prompt tokens, that a release must bring which claims no gain but less prompt text
LONGER = 1.1  # times base's reply tokens, that such a release may take where the config states no limit


def measure(
    gate: GateSection,
    settled: Sequence[Settled],
    attempts: Iterable[AttemptState],
    chosen: str,
    shorter: bool = False,
) -> tuple[Rail, ...]:
    """`shorter`: no gain is claimed but less prompt text, which then has to be there."""
    by_arm: dict[str, list[AttemptState]] = {"base": [], chosen: []}
    for attempt in attempts:
        by_arm[attempt.plan.arm].append(attempt)
    faults = {arm: sum(part.faults.get(arm, 0) for part in settled) for arm in by_arm}
    rates = {arm: _failing(made, faults[arm]) for arm, made in by_arm.items()}
    rails = [Rail(name="share of failures above base's", measured=rates[chosen] - rates["base"],
                  limit=gate.max_failure_rise)]  # fmt: skip
    if shorter:
        ratio = _ratio(by_arm, chosen, prompt_tokens_of)
        rails.append(Rail(name="prompt tokens an attempt, times base's", measured=ratio, limit=1 - SAVING))
    if most := gate.max_token_ratio or (LONGER if shorter else 0.0):
        ratio = _ratio(by_arm, chosen, tokens_of)
        rails.append(Rail(name="reply tokens an attempt, times base's", measured=ratio, limit=most))
    waited = mean_waited_s(made for arm in by_arm.values() for made in arm)
    if gate.max_latency_ratio and waited.get("base") and chosen in waited:
        ratio = waited[chosen] / waited["base"]
        name = "seconds waited for the model an attempt, times base's"
        rails.append(Rail(name=name, measured=ratio, limit=gate.max_latency_ratio))
    if gate.group:
        rails += _group_rails(gate, settled)
    return tuple(rails)


def _failing(attempts: Sequence[AttemptState], faults: int) -> float:
    """Of those that were judged: what was lost is tried again, and was no failure of its arm's."""
    made = [a for a in attempts if a.error or a.final is None or a.final.outcome not in UNSCORED]
    failed = sum(bool(a.error) or (a.final is not None and a.final.outcome != "ok") for a in made)
    return (failed + faults) / max(1, len(made) + faults)


def _ratio(
    by_arm: dict[str, list[AttemptState]], chosen: str, tokens: Callable[[AttemptState], float]
) -> float:
    mine, base = (sum(map(tokens, by_arm[arm])) / max(1, len(by_arm[arm])) for arm in (chosen, "base"))
    return mine / base if base else 1.0


def prompt_tokens_of(attempt: AttemptState) -> float:
    """Of each reply's prompt; where the endpoint tells no token ids, by the prompt's characters."""
    return math.fsum(
        sum(len(reply.prompt_ids) for reply in turn.replies) or _asked_chars(turn) / CHARS_A_TOKEN
        for turn in attempt.turns
    )


def _asked_chars(turn: Turn) -> int:
    asked = turn.action.get("ask") or ()
    return sum(len(message["content"]) * one["n"] for one in asked for message in one["messages"])


def tokens_of(attempt: AttemptState) -> float:
    return sum(len(reply.token_ids) or (len(reply.text) + len(reply.reasoning)) / CHARS_A_TOKEN
               for reply in attempt.replies)  # fmt: skip


def mean_waited_s(attempts: Iterable[AttemptState]) -> dict[str, float]:
    """By arm, what an attempt waited for the model in the mean. Attempts with a reply whose time was not
    measured (of an older version) are left out, and arms without any other."""
    waited: defaultdict[str, list[float]] = defaultdict(list)
    for attempt in attempts:
        if all(reply.waited_s > 0 for reply in attempt.replies):
            waited[attempt.plan.arm].append(waited_of(attempt))
    if not any(map(any, waited.values())):
        return {}
    return {arm: math.fsum(values) / len(values) for arm, values in sorted(waited.items())}


def waited_of(attempt: AttemptState) -> float:
    """Seconds. Replies that are asked for together are waited for together: the longest counts."""
    return math.fsum(max((reply.waited_s for reply in turn.replies), default=0.0) for turn in attempt.turns)


def _group_rails(gate: GateSection, settled: Sequence[Settled]) -> list[Rail]:
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for part in settled:
        for instance, difference in zip(part.compared, part.differences, strict=True):
            groups[_group(instance, gate.group)].append(difference)
    return [
        Rail(name=f"loss on {gate.group} {name}, less its standard error", limit=gate.group_margin,
             measured=-math.fsum(values) / len(values) - standard_error(values))
        for name, values in sorted(groups.items())
        if len(values) >= FEWEST
    ]  # fmt: skip


def _group(instance: JsonObject, field: str) -> str:
    return str(instance.get(field, "none"))


def broken(rails: Iterable[Rail]) -> str:
    """Which rails are broken, in words; empty: none."""
    return "; ".join(
        f"{rail.name}: {rail.measured:.3g}, at most {rail.limit:.3g} allowed"
        for rail in rails
        if rail.measured > rail.limit + 1e-9
    )
