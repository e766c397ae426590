"""An attempt's spans in the agent: the attempt itself, its scaffold's steps and its model requests, named as
the GenAI conventions name them. No text of a prompt or a reply goes into a span: `ratchet trace` shows those.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared import tracing
from shared.messages.events import ShardOpened
from shared.messages.records import AttemptState, ShardState
from shared.model.client import Reply
from shared.model.wire import SampleRequest

Place = tuple[str, int]  # run, generation


def attempts(event: ShardOpened, state: ShardState, task: str, started_ns: int) -> None:
    """The root of each attempt's trace: as long as its first job."""
    for attempt in state.attempts if tracing.is_on() else ():
        plan = attempt.plan
        attributes: dict[str, tracing.Value] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "ratchet",
            "gen_ai.agent.name": task,
            "gen_ai.agent.version": plan.release.digest[:12],
            "ratchet.arm": plan.arm,
            "ratchet.purpose": event.purpose,
            "ratchet.instance": str(plan.instance.get("id", "")),
        }
        place = (event.run_id, event.generation, plan.attempt_id)
        tracing.record(f"invoke_agent {task}", *place, started_ns, attributes, root=True, error=attempt.error)


def step(place: Place, attempt: AttemptState, started_ns: int, failed: str = "") -> None:
    attributes: dict[str, tracing.Value] = {"ratchet.turn": len(attempt.turns)}
    tracing.record("step", *place, attempt.plan.attempt_id, started_ns, attributes, error=failed)


def chats(
    place: Place,
    attempt: AttemptState,
    requests: Sequence[SampleRequest],
    replies: Sequence[Reply],
    started_ns: int,
) -> None:
    """From when they were asked for until all of the turn's replies were there. Stored replies are quick."""
    for request, reply in zip(requests, replies, strict=True) if tracing.is_on() else ():
        prompt = reply.samples[0].prompt_ids if reply.samples else ()
        attributes: dict[str, tracing.Value] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",  # whose API the endpoint speaks
            "gen_ai.request.model": request.model,
            "gen_ai.request.temperature": request.temperature,
            "gen_ai.request.max_tokens": request.max_tokens,
            "gen_ai.request.choice.count": request.n,
            "gen_ai.request.seed": request.seed,
            "gen_ai.response.finish_reasons": [sample.finish_reason for sample in reply.samples],
            "gen_ai.usage.input_tokens": len(prompt) or request.prompt_tokens_about(),
            "gen_ai.usage.output_tokens": sum(len(sample.token_ids) for sample in reply.samples),
        }
        name, error = f"chat {request.model}", reply.refused
        tracing.record(name, *place, attempt.plan.attempt_id, started_ns, attributes, error=error)
