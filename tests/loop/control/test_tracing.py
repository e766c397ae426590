"""Spans of attempts and jobs, by the real handlers and the real bus, into memory: one attempt is one trace
over agent, sandbox and trainer, and each job knows the one before it."""

import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox_service.handlers import Deps as SandboxDeps
from sandbox_service.handlers import on_candidates_proposed
from shared import children, tracing
from shared.box.open import open_box
from shared.bus.bus import Bus
from shared.harness.steps import ScaffoldPool
from shared.ledger.ledger import Ledger, Ring
from shared.messages import events as e
from shared.messages.proposals import WeightUpdate
from shared.messages.records import BatchScores, CandidateBatch, Evaluation
from shared.store.store import put_json
from tests.live.stack.echo_service import handlers as echo
from tests.loop.agent_world import SCAFFOLD, Agent, made_agent, worth
from tests.unit.trainer.test_light import proposed, release_of_ours
from tests.unit.trainer.test_publish import trained
from trainer_service.handlers import Deps as TrainerDeps
from trainer_service.handlers import on_weight_update_proposed

memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
sdk = pytest.importorskip("opentelemetry.sdk.trace.export")
conventions = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")


@pytest.fixture
def spans() -> Iterator[Any]:
    exporter = memory.InMemorySpanExporter()
    tracing.use(tracing.make_provider("test", sdk.SimpleSpanProcessor(exporter)))
    yield exporter
    tracing.use(None)


def evaluate(batch: CandidateBatch) -> BatchScores:
    return BatchScores(
        blocks=tuple(
            tuple(Evaluation(outcome="ok", score=worth(text)) for _, text in block.entries)
            for block in batch.blocks
        )
    )


def played(agent: Agent, folder: Path) -> list[e.ShardFinished]:
    """To the end of all shards, with the sandbox's own handler."""
    with ScaffoldPool(open_box()) as pool:
        deps = SandboxDeps(agent.store, folder / "cache", evaluate, lambda *_: [], pool)
        agent.score = lambda event: on_candidates_proposed(event, deps=deps)[0]  # type: ignore[method-assign, assignment, return-value]
        ended, _ = agent.play(agent.opened(agent.harness(SCAFFOLD)))
    return ended


def learn_from(agent: Agent, ended: list[e.ShardFinished], folder: Path) -> None:
    """What the trainer does with a training that is done."""
    update = WeightUpdate(
        algorithm="entropic",
        shards=tuple(event.result or "" for event in ended),
        steps=1,
        learning_rate=0.1,
        kl_weight=0.0,
        seed=1,
        reason="",
    )
    event = proposed(agent.store, release_of_ours(folder))
    event = event.model_copy(update={"run_id": "r", "generation": 1, "update": put_json(agent.store, update)})
    trained(folder / "training", event)
    on_weight_update_proposed(event, deps=TrainerDeps(agent.store, folder / "training"))


def test_one_attempt_is_one_trace_over_agent_sandbox_and_trainer(spans: Any, tmp_path: Path) -> None:
    with ScaffoldPool(open_box()) as pool, made_agent(tmp_path, pool) as agent:
        ended = played(agent, tmp_path)
        learn_from(agent, ended, tmp_path)
        plans = [attempt.plan for event in ended for attempt in agent.state(event).attempts]
    found = defaultdict(list)
    for span in spans.get_finished_spans():
        found[span.attributes["gen_ai.conversation.id"]].append(span)
    assert set(found) == {plan.attempt_id for plan in plans}
    assert len({span.context.trace_id for own in found.values() for span in own}) == len(plans) == 2
    for own in found.values():
        assert len({span.context.trace_id for span in own}) == 1
        (root,) = [span for span in own if span.parent is None]
        assert root.name == "invoke_agent words"
        assert {span.parent.span_id for span in own if span is not root} == {root.context.span_id}
        assert Counter(span.name for span in own) == {
            "invoke_agent words": 1,
            "step": 3,
            "chat seed": 1,
            "execute_tool verifier": 3,
            "train entropic": 1,
        }


def test_spans_name_what_the_conventions_name_and_hold_no_text_of_prompts_or_replies(
    spans: Any, tmp_path: Path
) -> None:
    with ScaffoldPool(open_box()) as pool, made_agent(tmp_path, pool) as agent:
        played(agent, tmp_path)
    known = {value for name, value in vars(conventions).items() if name.startswith("GEN_AI")}
    finished = spans.get_finished_spans()
    used = {name for span in finished for name in span.attributes if name.startswith("gen_ai.")}
    assert used <= known
    chat = next(span for span in finished if span.name.startswith("chat"))
    assert chat.attributes["gen_ai.usage.output_tokens"] > 0
    assert chat.attributes["gen_ai.request.choice.count"] == 2
    assert chat.end_time > chat.start_time
    assert "after nothing" not in str([dict(span.attributes) for span in finished])  # of the prompt


def test_a_failed_step_is_an_error_of_its_attempt(spans: Any, tmp_path: Path) -> None:
    crashes = "def step(instance, history, knobs, context):\n    return instance['colour']\n"
    with ScaffoldPool(open_box()) as pool, made_agent(tmp_path, pool) as agent:
        agent.play(agent.opened(agent.harness(crashes), count=1))
    root, step = sorted(spans.get_finished_spans(), key=lambda span: span.name)
    assert (root.status.is_ok, step.status.is_ok) == (False, False)
    assert "colour" in step.status.description


def test_a_jobs_headers_make_it_the_parent_of_the_jobs_that_follow(spans: Any, tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger.create_schema()
    ledger.create_run("run-1")
    rung: list[tuple[str, dict[str, str]]] = []

    def ring(rings: list[Ring]) -> None:
        rung.extend((one.job_id, tracing.headers()) for one in rings)

    bus = Bus(ledger, lambda: echo(tmp_path), ring, children.owner_name())  # type: ignore[arg-type]
    (first,) = ledger.submit([e.RunStarted(run_id="run-1", config="0")])
    bus.process(first.job_id)
    ((second, carried),) = rung
    assert set(carried) == {"traceparent"}
    bus.process(second, carried)
    lost, _ = rung[-1]
    bus.process(lost)  # its doorbell was lost: the reconciler's has no headers
    started, requested, ready = spans.get_finished_spans()
    assert [span.name for span in (started, requested, ready)] == [
        "process RunStarted",
        "process BaseRequested",
        "process BaseReady",
    ]
    assert started.parent is None
    assert requested.parent.span_id == started.context.span_id
    assert ready.parent is None
    assert len({span.context.trace_id for span in (started, requested, ready)}) == 1
    assert tracing.headers() == {}


def test_without_the_setting_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import sys; from shared import tracing;"
        "tracing.set_up('agent', ''); tracing.record('x', 'r', 1, 'a', 0, {});"
        "assert tracing.headers() == {};"
        "sys.exit('opentelemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
