"""The cost of replies: prices by model, usage where the endpoint reports it, an estimate where it does not.

Prices are looked up once, before a run (genai-prices, offline), and frozen into its config.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.messages.records import Cost, Sample
from shared.model.replies.reading import Usage
from shared.model.wire import SampleRequest, tokens_about

MTOK = 1e6


@dataclass(frozen=True)
class Price:
    """US dollars a million tokens."""

    prompt: float = 0.0
    completion: float = 0.0

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / MTOK


def look_up(url: str, model: str) -> Price | None:
    """The list price of a model at that address; None: no list has one (the user's own server)."""
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    def of(usage: Tokens) -> float:
        return float(calc_price(usage, model, provider_api_url=url).total_price)

    few = 1_000  # below any tier of long prompts
    try:
        prompt = of(Tokens(input_tokens=few)) * MTOK / few
        return Price(prompt, of(Tokens(input_tokens=0, output_tokens=few)) * MTOK / few)
    except (LookupError, ValueError):
        return None


def cost_of(request: SampleRequest, sample: Sample, usage: Usage, price: Price) -> Cost:
    """What one reply cost, exactly or as an estimate."""
    prompt, completion, estimated = usage.prompt_tokens, usage.completion_tokens, 0
    if prompt is None:
        prompt = request.prompt_tokens_about()
        estimated += prompt
    if completion is None:
        reported = len(sample.token_ids) or len(sample.logprobs)
        completion = reported or tokens_about(sample.text + sample.reasoning)
        estimated += 0 if reported else completion
    usd = usage.usd if usage.usd is not None else price.usd(prompt, completion)
    return Cost(
        prompt_tokens=prompt,
        completion_tokens=completion,
        gpu_s=usage.gpu_s,
        usd=usd,
        estimated_tokens=estimated,
    )


def most_of(request: SampleRequest, price: Price) -> Cost:
    """An estimate of the most that one reply to the request may cost."""
    prompt = request.prompt_tokens_about()
    usd = price.usd(prompt, request.max_tokens)
    return Cost(prompt_tokens=prompt, completion_tokens=request.max_tokens, usd=usd)
