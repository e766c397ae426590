"""Hard caps and the plan that they are held against."""

from pathlib import Path

import pytest

from feedback_service.course.budget import over_budget, training_over_budget
from shared.config.settings import BudgetSection, load_config
from shared.decisions.plan import Step, plan
from shared.ledger.history.state import Generation, RunHistory
from shared.messages.records import Cost
from shared.tasks.task import AttemptSection, Task, TaskManifest

PROMPT = 2 * 8  # tokens of a prompt about which nothing is known
STEP = Step("screen", evaluations=100, tokens=1000)


def spent(**cost: float) -> RunHistory:
    return RunHistory(cost=Cost(**cost), started_at=10.0, last_at=110.0)


def test_no_cap_is_no_hindrance() -> None:
    assert over_budget(spent(evaluations=10**9), BudgetSection(), STEP) == ""


@pytest.mark.parametrize(
    ("budget", "fits"),
    [
        ({"evaluations": 150}, True),
        ({"evaluations": 149}, False),
        ({"tokens": 1500}, True),  # 200 + 100 spent, 1000 replied at most, 200 of prompt at the rate so far
        ({"tokens": 1499}, False),
        ({"wall_s": 300}, True),  # 100 s for 50 evaluations, so 200 s for 100 more
        ({"wall_s": 299}, False),
        ({"gpu_s": 30}, True),
        ({"gpu_s": 29}, False),
        ({"usd": 3.0}, True),
        ({"usd": 2.9}, False),
    ],
)
def test_a_step_is_opened_only_if_it_fits_whole(budget: dict[str, float], fits: bool) -> None:
    history = spent(evaluations=50, completion_tokens=200, prompt_tokens=100, gpu_s=10, usd=1.0)
    assert (over_budget(history, BudgetSection(**budget), STEP) == "") is fits


def test_the_reason_names_the_cap_and_the_step() -> None:
    why = over_budget(spent(evaluations=50), BudgetSection(evaluations=120), STEP)
    assert why == "screen might use 100 evaluations; 50 of 120 are spent"


def test_the_plan_adds_up() -> None:
    task = Task(
        Path(), TaskManifest(name="t", attempt=AttemptSection(candidates=3, requests=2, max_tokens=10))
    )
    gate = {"screen_instances": 5, "max_pairs": 10, "test_instances": 4}
    config = load_config(
        [{"run": {"generations": 2}, "rollouts": {"instances": 6, "attempts": 2}, "gate": gate}]
    )
    steps = {step.name: step for step in plan(config, task)}
    # an attempt: 3 candidates and the answer, 2 replies of 10 tokens
    assert steps["train rollouts"] == Step("train rollouts", 12 * 4, 12 * 20, 12, 12 * 2 * PROMPT)
    assert steps["screen of base, harness, weights, both"].attempts == 20
    assert steps["confirmation, 10 pairs"].evaluations == 20 * 4
    assert steps["one generation, at most"].attempts == 12 + 20 + 20
    assert steps["the whole run, at most (2 generations)"].attempts == 2 * 52 + 8


def test_an_advisors_drafts_are_a_step_with_their_tokens_and_money() -> None:
    task = Task(Path(), TaskManifest(name="t"))
    advisor = {"url": "http://host/v1", "drafts": 2, "max_tokens": 1000, "usd_completion": 10.0}
    asked = plan(load_config([{"run": {"generations": 2}, "advisor": advisor}]), task)
    alone = plan(load_config([{"run": {"generations": 2}}]), task)
    step = next(step for step in asked if step.name == "advisor, 2 drafts")
    assert (step.evaluations, step.tokens, step.usd) == (0, 3 * 1000, pytest.approx(0.03))
    assert step.prompt_tokens > 3 * 1000
    assert asked[-1].tokens - alone[-1].tokens == 2 * step.tokens
    assert asked[-1].usd == pytest.approx(2 * step.usd)


def test_a_design_is_a_step_of_its_own_where_the_harness_lever_is_pulled() -> None:
    task = Task(Path(), TaskManifest(name="t"))
    both = load_config([{"rollouts": {"design": 30}}])
    weights = load_config([{"rollouts": {"design": 30}, "run": {"levers": "weights"}}])
    names = [[step.name for step in plan(config, task)] for config in (both, weights)]
    assert plan(both, task)[1].attempts == 30
    assert (names[0][1], "design of knobs" in names[1]) == ("design of knobs", False)


def test_one_lever_screens_two_arms() -> None:
    config = load_config([{"run": {"levers": "weights"}, "gate": {"screen_instances": 5}}])
    task = Task(Path(), TaskManifest(name="t"))
    assert plan(config, task)[1] == Step("screen of base, weights", 20, 10 * 8 * 256, 10, 10 * 8 * PROMPT)


def test_money_is_foreseen_before_anything_is_spent(tmp_path: Path) -> None:
    (tmp_path / "harness" / "prompts").mkdir(parents=True)
    (tmp_path / "harness" / "prompts" / "user.md").write_text("x" * 4000)  # about 1000 tokens
    task = Task(tmp_path, TaskManifest(name="t", attempt=AttemptSection(requests=2, max_tokens=500)))
    prices = {"url": "http://x/v1", "usd_prompt": 1.0, "usd_completion": 4.0}
    config = load_config([{"model": prices, "rollouts": {"instances": 5, "attempts": 1}}])
    train = plan(config, task)[0]
    assert (train.tokens, train.prompt_tokens) == (5 * 2 * 500, 5 * 2 * 2000)
    assert train.usd == pytest.approx(10 * (2000 * 1 + 500 * 4) / 1e6)  # 4 cents
    assert over_budget(spent(), BudgetSection(usd=0.04), train) == ""
    assert "usd" in over_budget(spent(), BudgetSection(usd=0.039), train)


def test_a_weight_update_is_foreseen_as_the_dearest_so_far() -> None:
    history = spent(gpu_s=50)
    history.all[1] = Generation(1, cost=Cost(train_s=20, gpu_s=45))  # two GPUs for 20 s, and 5 s of replies
    assert training_over_budget(history, BudgetSection(), 2) == ""
    assert training_over_budget(history, BudgetSection(gpu_s=91), 2) == ""
    told = training_over_budget(history, BudgetSection(gpu_s=90), 2)
    assert told.startswith("a weight update might use 40 gpu_s")
    assert training_over_budget(history, BudgetSection(wall_s=121), 2) == ""  # 100 s have gone by
    assert "wall_s" in training_over_budget(history, BudgetSection(wall_s=120), 2)
