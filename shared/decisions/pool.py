"""The gate instances of a run: the whole pool in one seeded order, used from the front, each once.

A task may draw its instances in an order of its own (one of each label in turn, say). Drawing anew for
each round and leaving out what was used would then compare each generation on another population. So the
whole pool is drawn once and shuffled: every round is a random sample of it, and what is claimed is the
mean over its instances, each counting alike. Of a task that never runs out, the pool is as many as are
asked for here.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Collection
from itertools import islice

from shared.config.settings import RunConfig
from shared.decisions.arms import instance_key
from shared.decisions.seeds import instance_seed
from shared.errors import TaskError
from shared.ledger.history.state import RunHistory
from shared.messages.records import JsonObject, derive_seed
from shared.store.store import Store, get_json, put_json
from shared.tasks.draws import DRAW_TIMEOUT_S, draw
from shared.tasks.task import Task

KIND = "gate_order"  # of the binding in the store
WHOLE_TIMEOUT_S = 60.0
MOST_LISTED = 12  # values of a group in a sentence
WHOLE = 4096  # instances that are asked for; a run that may need more asks for those
Deal = Callable[[str, int, int, float], list[JsonObject]]  # of a split, so many, by a seed, within seconds


def gate_order(run_id: str, config: RunConfig, task: Task, store: Store) -> list[JsonObject]:
    """The run's order, as first drawn."""
    bound = store.lookup(KIND, run_id)
    if bound is None:
        bound = store.bind(KIND, run_id, put_json(store, draw_order(config, task)))
    order: list[JsonObject] = get_json(store, bound)
    return order


def draw_order(config: RunConfig, task: Task) -> list[JsonObject]:
    needed = config.run.generations * (config.gate.screen_instances + config.gate.max_pairs)
    seed = derive_seed(config.run.seed, "gate order")
    try:
        drawn = draw(task, "gate", max(WHOLE, needed), seed, WHOLE_TIMEOUT_S)
    except TaskError:  # it can't draw so many, or not in time
        drawn = draw(task, "gate", needed, seed)
    order = list({instance_key(instance): instance for instance in drawn}.values())
    random.Random(seed).shuffle(order)
    return order


def sealed_instances(config: RunConfig, task: Task, deal: Deal) -> list[JsonObject]:
    """The sealed test of every run with these settings, and of all that is compared with it."""
    count, seed = config.gate.test_instances, instance_seed(config, 0, "test")
    sample: list[JsonObject] = []
    if count < WHOLE:
        with contextlib.suppress(TaskError):  # it can't draw so many, or not in time
            sample = sealed_sample(deal("test", WHOLE, seed, WHOLE_TIMEOUT_S), count, seed)
    return sample or deal("test", count, seed, DRAW_TIMEOUT_S)


def sealed_sample(whole: list[JsonObject], count: int, seed: int) -> list[JsonObject]:
    """A random sample of a finite test split, whatever order the task deals in: what is claimed is the mean
    over its cases, each counting alike. None of a split that did not end (`whole` is as many as were asked
    for): its own draw is the sample."""
    if len(whole) >= WHOLE:
        return []
    order = list({instance_key(instance): instance for instance in whole}.values())
    random.Random(seed).shuffle(order)
    return order[:count]


def fresh(order: list[JsonObject], used: Collection[str], count: int) -> list[JsonObject]:
    return list(islice((instance for instance in order if instance_key(instance) not in used), count))


def weights(order: list[JsonObject], group: str) -> dict[str, float]:
    """The share that each value of the field `group` has in a mean in which each instance counts alike."""
    counts = Counter(str(instance.get(group, "none")) for instance in order)
    return {value: count / len(order) for value, count in sorted(counts.items())}


def mean_text(order: list[JsonObject] | None, group: str) -> str:
    """Which mean gain is claimed, in words. `order`: the pool; None: not drawn, or anew for each round."""
    if order is None:
        return "the mean gain by case, over the gate instances, each counting alike"
    ends = len(order) < WHOLE
    whole = "cases of the gate split" if ends else "cases that the task deals first"
    text = f"the mean gain by case, over the {len(order)} {whole}, each counting alike"
    if not group:
        return f"{text} (a class counts by how {'many cases it has' if ends else 'often it is dealt'})"
    shares = weights(order, group)
    listed = ", ".join(f"{value} {share:.1%}" for value, share in list(shares.items())[:MOST_LISTED])
    return f"{text}; so {group} weighs: {listed}" + (", ..." if len(shares) > MOST_LISTED else "")


def uses(history: RunHistory, store: Store) -> Counter[str]:
    """How often this run has judged by each gate instance. One that a lost shard made it try again, each arm
    alone, still counts once."""
    return Counter(
        instance_key(instance)
        for generation in history.all.values()
        for (purpose, _), rollout in generation.rollouts.items()
        if purpose == "screen" or (purpose == "confirm" and len(rollout.opened.releases) > 1)
        for instance in get_json(store, rollout.opened.instances)
    )
