"""Train instances that scores posted for a served release made, of this run and of the one that it started
from. They join what the task draws for training; the gate and the sealed test draw from the task alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shared.decisions.arms import instance_key
from shared.ledger.history.state import RunHistory
from shared.messages.records import JsonObject
from shared.store.store import Store, get_json


def posted_instances(history: RunHistory, store: Store) -> list[JsonObject]:
    """Each once, in the order in which they came."""
    found: list[JsonObject] = get_json(store, history.brought) if history.brought else []
    found = found + [get_json(store, event.instance) for event in history.scores.values() if event.instance]
    return list({instance_key(instance): instance for instance in found}.values())


def mixed(
    drawn: Sequence[JsonObject], posted: Sequence[JsonObject], used: Counter[str], count: int
) -> list[JsonObject]:
    """`count` train instances at most, half of them posted ones at most: those that were trained on least
    often, the oldest first. The others are the first ones of `drawn`."""
    chosen = sorted(posted, key=lambda instance: used[instance_key(instance)])[: (count + 1) // 2]
    names = {instance_key(instance) for instance in chosen}
    others = [instance for instance in drawn if instance_key(instance) not in names]
    return chosen + others[: count - len(chosen)]


def trained_on(history: RunHistory, store: Store) -> Counter[str]:
    """How many generations trained on each instance."""
    return Counter(
        instance_key(instance)
        for generation in history.generations
        if generation.train is not None
        for instance in get_json(store, generation.train.opened.instances)
    )
