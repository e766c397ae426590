"""The cost of replies, exact or estimated, and caps that hold before a request is sent."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.config.settings import BudgetSection
from shared.errors import BudgetSpentError
from shared.ledger.ledger import Ledger
from shared.ledger.spending import Counter
from shared.messages.records import Cost, Sample
from shared.model.prices import Price, cost_of, look_up, most_of
from shared.model.replies.reading import Usage
from shared.model.spending import Spending
from shared.model.wire import SampleRequest

ASK = SampleRequest("m", [{"role": "user", "content": "x" * 396}], seed=1, max_tokens=50)  # 99 + 4 tokens
PRICE = Price(prompt=2.0, completion=8.0)  # US dollars a million tokens


def test_told_usage_is_paid_at_the_price() -> None:
    cost = cost_of(ASK, Sample(text="abc"), Usage(1000, 500), PRICE)
    assert (cost.prompt_tokens, cost.completion_tokens, cost.estimated_tokens) == (1000, 500, 0)
    assert cost.usd == pytest.approx(0.002 + 0.004)


def test_what_is_not_told_is_estimated_and_said_to_be_so() -> None:
    cost = cost_of(ASK, Sample(text="y" * 80, reasoning="z" * 40), Usage(), PRICE)
    assert (cost.prompt_tokens, cost.completion_tokens, cost.estimated_tokens) == (103, 30, 133)
    counted = cost_of(ASK, Sample(text="abc", token_ids=(1, 2)), Usage(10, None), PRICE)
    assert (counted.completion_tokens, counted.estimated_tokens) == (2, 0)


def test_what_a_gateway_charged_wins_over_the_list() -> None:
    assert cost_of(ASK, Sample(text="abc"), Usage(1000, 500, usd=0.5), PRICE).usd == 0.5


def test_seconds_of_a_gpu_that_the_server_reports_are_counted() -> None:
    assert cost_of(ASK, Sample(text="abc"), Usage(1000, 500, gpu_s=0.25), PRICE).gpu_s == 0.25


def test_nothing_is_known_of_a_server_of_ones_own() -> None:
    assert look_up("http://127.0.0.1:8000/v1", "gpt-4o") is None


def test_a_known_provider_has_a_price_per_token_of_each_kind() -> None:
    price = look_up("https://api.openai.com/v1", "gpt-4o")
    assert price is not None
    assert price.completion > price.prompt > 0


def test_a_request_that_might_break_the_cap_is_not_sent() -> None:
    most = most_of(ASK, PRICE)
    assert (most.prompt_tokens, most.completion_tokens) == (103, 50)
    spending = Spending(BudgetSection(tokens=1000), Cost(prompt_tokens=600, completion_tokens=90))
    spending.reserve(most)  # 690 + 153
    spending.reserve(most)  # 996
    with pytest.raises(BudgetSpentError, match=r"budget.tokens is 1000, and the 4 that is left"):
        spending.reserve(most)
    spending.settle(most, Cost(prompt_tokens=10, completion_tokens=5))  # less than feared
    spending.reserve(most.model_copy(update={"prompt_tokens": 90}))
    with pytest.raises(BudgetSpentError):
        spending.reserve(most)


def test_money_is_capped() -> None:
    dollar = Cost(usd=1.0)
    alone = Spending(BudgetSection(usd=10.0), Cost(usd=4.0))
    for _ in range(6):
        alone.reserve(dollar)
    with pytest.raises(BudgetSpentError, match=r"budget.usd is 10"):
        alone.reserve(dollar)


def test_a_cap_holds_for_all_workers_of_a_run_together(ledger_url: str) -> None:
    """Four workers ask at once, each for as long as it may: what they reserve never exceeds the cap."""
    first = Ledger(ledger_url)
    first.create_schema()
    budget, dollar = BudgetSection(usd=10.0), Cost(usd=1.0)

    def ask_until_refused(_: int) -> int:
        spending = Spending(budget, Cost(usd=4.0), Counter(Ledger(ledger_url), "r"))
        for asked in range(20):
            try:
                spending.reserve(dollar)
            except BudgetSpentError:
                return asked
        return 20

    with ThreadPoolExecutor(4) as workers:
        assert sum(workers.map(ask_until_refused, range(4))) == 6
    again = Spending(budget, Cost(usd=4.0), Counter(first, "r"))  # a killed one leaves all counted
    with pytest.raises(BudgetSpentError, match=r"the 0 that is left"):
        again.reserve(dollar)
    again.settle(dollar, Cost(usd=0.25))
    again.paid_before(dollar)  # changes nothing: the counter has it
    again.reserve(Cost(usd=0.75))
    with pytest.raises(BudgetSpentError):
        again.reserve(Cost(usd=0.01))
