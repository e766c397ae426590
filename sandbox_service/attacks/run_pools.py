"""The attacks on the gate's pool: proposals worth nothing over the whole pool, in runs that use it up.
The naive run draws anew for each round and leaves out what was used; the real one has shared/decisions/pool.
Both are decided by the same gate.
"""

from __future__ import annotations

import math
import runpy
from collections.abc import Callable, Sequence

from sandbox_service.attacks.corpus import FOLDER, Attack
from sandbox_service.attacks.finding import Finding
from shared.config.settings import RunConfig, load_config
from shared.decisions import gate
from shared.decisions.arms import instance_key
from shared.decisions.evidence.betting import generation_alpha
from shared.decisions.pool import draw_order, fresh
from shared.messages.evidence import GateRecord
from shared.messages.records import JsonObject
from shared.tasks.draws import draw
from shared.tasks.task import Task, load_task

TASK = FOLDER / "dealing"
RUNS = 8  # seeds 0, 1, ...
GENERATIONS = 8
TERMS = {"screen_instances": 24, "max_pairs": 60}
MOST_FALSE = 3  # standard errors above alpha, of the share of runs that promote
Deal = Callable[[set[str], int], list[JsonObject]]  # (used, count): fresh instances
Gain = Callable[[JsonObject], float]


def attack_pools(chosen: Sequence[Attack]) -> list[Finding]:
    return [_attack_pool(attack) for attack in chosen]


def _attack_pool(attack: Attack) -> Finding:
    gain: Gain = runpy.run_path(str(attack.path))["gain"]
    task = load_task(str(TASK))
    config = load_config([{"run": {"task": str(TASK), "generations": GENERATIONS}, "gate": TERMS}])
    fooled = _promotes(config, gain, _dealt_anew(task))
    false = sum(_promotes(config, gain, _from_one_order(config, task, seed)) for seed in range(RUNS))
    alpha = config.gate.alpha
    most = RUNS * alpha + MOST_FALSE * math.sqrt(RUNS * alpha * (1 - alpha))
    saw = f"promoted in {false} of {RUNS} runs; alpha {alpha:g} of each"
    return Finding.of(attack, fooled, false <= most, saw)


def _dealt_anew(task: Task) -> Deal:
    def deal(used: set[str], count: int) -> list[JsonObject]:
        drawn = draw(task, "gate", len(used) + count, seed=len(used))
        return [instance for instance in drawn if instance_key(instance) not in used][:count]

    return deal


def _from_one_order(config: RunConfig, task: Task, seed: int) -> Deal:
    seeded = config.model_copy(update={"run": config.run.model_copy(update={"seed": seed})})
    order = draw_order(seeded, task)
    return lambda used, count: fresh(order, used, count)


def _promotes(config: RunConfig, gain: Gain, deal: Deal) -> bool:
    """Whether any generation of a run does."""
    used: set[str] = set()
    tests = 0
    for _ in range(config.run.generations):
        if sum(map(gain, _taken(deal, used, config.gate.screen_instances))) <= 0:
            continue  # the screen picks the base
        tests += 1
        alpha = generation_alpha(config.gate.alpha, tests, config.run.generations, 0)
        if _confirms(config, gain, deal, used, alpha):
            return True
    return False


def _confirms(config: RunConfig, gain: Gain, deal: Deal, used: set[str], alpha: float) -> bool:
    screen, differences = GateRecord(screen={}, chosen="harness", bound=1.0), list[float]()
    while True:
        most = min(config.gate.round_instances, config.gate.max_pairs - len(differences))
        instances = _taken(deal, used, most)
        differences += map(gain, instances)
        record = gate.confirmed(screen, differences, alpha, config.gate)
        decision = gate.decide(record).decision
        if decision != "undecided" or not instances:
            return decision == "promoted"


def _taken(deal: Deal, used: set[str], count: int) -> list[JsonObject]:
    instances = deal(used, count)
    used.update(map(instance_key, instances))
    return instances
