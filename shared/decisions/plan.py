"""An upper bound of each step's cost, before anything is started: for `--dry-run` and for the budget.

Tokens are the replies' at most; a prompt's are about those of the harness's texts, since it is not known
beforehand, and an advisor's about as many as such a prompt mostly has. An attempt's final answer is one
evaluation more.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from shared.config.settings import RunConfig
from shared.decisions.levers import arms_in_use, levers_in_use
from shared.tasks.task import Task

CHARS_A_TOKEN = 4
LEAST_PROMPT = 8  # tokens
ADVISOR_PROMPT = 8_000  # tokens, about: instructions, a harness's texts, ten traces
MTOK = 1e6  # prices are those of a million tokens


@dataclass(frozen=True)
class Step:
    name: str
    evaluations: int
    tokens: int
    attempts: int = 0
    prompt_tokens: int = 0
    usd: float = 0.0


def plan(config: RunConfig, task: Task) -> list[Step]:
    """The steps of one generation, the sealed test, and the whole run."""
    turn = [
        train_step(config, task),
        *([design_step(config, task)] if designs(config, levers_in_use(config)) else []),
        screen_step(config, task),
        confirm_step(config, task, config.gate.max_pairs),
        *([advisor_step(config)] if config.advisor.url else []),
    ]
    test = test_step(config, task, releases=2)
    generation = _sum("one generation, at most", turn)
    everything = [generation] * config.run.generations
    whole = _sum(f"the whole run, at most ({config.run.generations} generations)", [*everything, test])
    return [*turn, generation, test, whole]


def train_step(config: RunConfig, task: Task) -> Step:
    return _step(config, task, "train rollouts", config.rollouts.instances * config.rollouts.attempts)


def designs(config: RunConfig, levers: Collection[str]) -> bool:
    """Whether a generation that pulls these levers tries other knobs before it proposes a harness."""
    return config.rollouts.design > 0 and "harness" in levers


def design_step(config: RunConfig, task: Task, attempts: int | None = None) -> Step:
    """All of a generation's design, or so many attempts of it."""
    most = config.rollouts.design if designs(config, levers_in_use(config)) else 0
    return _step(config, task, "design of knobs", most if attempts is None else attempts)


def screen_step(config: RunConfig, task: Task) -> Step:
    arms = arms_in_use(config)
    return _step(config, task, f"screen of {', '.join(arms)}", config.gate.screen_instances * len(arms))


def confirm_step(config: RunConfig, task: Task, pairs: int) -> Step:
    return _step(config, task, f"confirmation, {pairs} pairs", 2 * pairs)


def test_step(config: RunConfig, task: Task, releases: int) -> Step:
    return _step(config, task, "sealed test", config.gate.test_instances * releases)


def advisor_step(config: RunConfig) -> Step:
    """A generation's drafts, and one more where none of them can be used. What its prompts show is known
    only when there are traces."""
    advisor = config.advisor
    requests = advisor.drafts + 1
    tokens, prompt_tokens = requests * advisor.max_tokens, requests * ADVISOR_PROMPT
    usd = (prompt_tokens * (advisor.usd_prompt or 0.0) + tokens * (advisor.usd_completion or 0.0)) / MTOK
    return Step(f"advisor, {advisor.drafts} drafts", 0, tokens, prompt_tokens=prompt_tokens, usd=usd)


def _step(config: RunConfig, task: Task, name: str, attempts: int) -> Step:
    limits = task.manifest.attempt
    requests = attempts * limits.requests
    tokens, prompt_tokens = requests * limits.max_tokens, requests * prompt_tokens_about(task)
    model = config.model
    usd = (prompt_tokens * (model.usd_prompt or 0.0) + tokens * (model.usd_completion or 0.0)) / MTOK
    return Step(name, attempts * (limits.candidates + 1), tokens, attempts, prompt_tokens, usd)


def prompt_tokens_about(task: Task) -> int:
    """Of one request, about: the harness's prompts and exemplars, and as much again for the instance."""
    texts = [*(task.folder / "harness").glob("prompts/*"), task.folder / "harness" / "exemplars.json"]
    size = sum(path.stat().st_size for path in texts if path.is_file())
    return 2 * max(size // CHARS_A_TOKEN, LEAST_PROMPT)


def _sum(name: str, steps: list[Step]) -> Step:
    return Step(
        name,
        sum(step.evaluations for step in steps),
        sum(step.tokens for step in steps),
        sum(step.attempts for step in steps),
        sum(step.prompt_tokens for step in steps),
        math.fsum(step.usd for step in steps),
    )
