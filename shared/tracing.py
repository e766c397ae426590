"""OpenTelemetry spans with the GenAI semantic conventions, off unless a stack says where they go
(`traces_url`; extra `otel`). Off, nothing of OpenTelemetry is imported and each call returns at once.

A job is a span of its generation's trace; the doorbell's headers carry its context to the jobs that follow.
An attempt is a trace of its own, over all services: its id is derived from the attempt's, so that no lost
doorbell breaks it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from shared.errors import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Tracer

Value = str | bool | int | float | Sequence[str]
FLUSH_MS = 2_000  # at a worker's end, for what was not exported yet
DELAY_MS = 1_000  # between two exports
_provider: TracerProvider | None = None
_chosen: ContextVar[tuple[int, int]] = ContextVar("chosen", default=(0, 0))  # a root's trace and span


def set_up(service: str, url: str) -> None:
    """Once a process, after it was forked. `url`: of OTLP over HTTP, as http://127.0.0.1:4318/v1/traces;
    empty: off. Raises SettingsError where the extra is not installed."""
    if not url:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(
            f"stack.traces_url is set, and {error.name} is not installed", "pip install 'ratchet-sia[otel]'"
        ) from None
    exporter = OTLPSpanExporter(endpoint=url)
    use(make_provider(service, BatchSpanProcessor(exporter, schedule_delay_millis=DELAY_MS)))


def make_provider(service: str, processor: SpanProcessor) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):  # type: ignore[misc]
        """Random ones, but for a root whose ids are derived."""

        def generate_trace_id(self) -> int:
            return _chosen.get()[0] or super().generate_trace_id()

        def generate_span_id(self) -> int:
            return _chosen.get()[1] or super().generate_span_id()

    resource = Resource.create({"service.name": f"ratchet.{service}"})
    provider = TracerProvider(resource=resource, id_generator=Ids(), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def use(provider: TracerProvider | None) -> None:
    """From now on spans go there; None: nowhere."""
    global _provider
    _provider = provider


def is_on() -> bool:
    return _provider is not None


def flush() -> None:
    """Before the process ends."""
    if _provider is not None:
        _provider.force_flush(FLUSH_MS)


@contextmanager
def job_span(
    service: str, event: str, run_id: str, generation: int, carried: Mapping[str, str]
) -> Iterator[None]:
    """Around one job. `carried`: the headers of its doorbell; without any its span has no parent, and the
    same trace."""
    if _provider is None:
        yield
        return
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract(carried)
    attributes: dict[str, Value] = {
        "messaging.system": "celery",
        "messaging.operation.type": "process",
        "messaging.destination.name": service,
        **_of_run(run_id, generation),
    }
    with _ids(_derived("generation", run_id, str(generation))[0]):
        span = _tracer().start_span(f"process {event}", context, trace.SpanKind.CONSUMER, attributes)
    with trace.use_span(span, end_on_exit=True):
        yield


def headers() -> dict[str, str]:
    """The present job's context, for the doorbells of the jobs that follow it."""
    carried: dict[str, str] = {}
    if _provider is not None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(carried)
    return carried


def record(
    name: str,
    run_id: str,
    generation: int,
    attempt_id: str,
    started_ns: int,
    attributes: Mapping[str, Value],
    *,
    root: bool = False,
    error: str = "",
) -> None:
    """A span of the attempt's trace, from `started_ns` (since 1970) until now; it links to the job that does
    it. `root`: the one that the trace's other spans lie under. `error`: why it failed."""
    if _provider is None:
        return
    from opentelemetry import context as contexts
    from opentelemetry import trace

    job = trace.get_current_span().get_span_context()
    trace_id, span_id = _derived("attempt", run_id, attempt_id)
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    parent = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
    above = trace.set_span_in_context(trace.NonRecordingSpan(parent), contexts.Context())
    with _ids(trace_id, span_id if root else 0):
        span = _tracer().start_span(
            name,
            contexts.Context() if root else above,
            trace.SpanKind.CLIENT if name.startswith("chat ") else trace.SpanKind.INTERNAL,
            {"gen_ai.conversation.id": attempt_id, **_of_run(run_id, generation), **attributes},
            [trace.Link(job)] if job.is_valid else [],
            started_ns,
        )
    if error:
        span.set_attribute("error.type", error.partition(":")[0])
        span.set_status(trace.StatusCode.ERROR, error[:300])
    span.end()


def _of_run(run_id: str, generation: int) -> dict[str, Value]:
    return {"ratchet.run": run_id, "ratchet.generation": generation}


def _tracer() -> Tracer:
    assert _provider is not None
    return _provider.get_tracer("ratchet")


def _derived(*parts: str) -> tuple[int, int]:
    """The ids of a trace and of its root, the same wherever they are asked for."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:16], "big") or 1, int.from_bytes(digest[16:24], "big") or 1


@contextmanager
def _ids(trace_id: int, span_id: int = 0) -> Iterator[None]:
    """The next span's, where it has no parent; 0: random."""
    token = _chosen.set((trace_id, span_id))
    try:
        yield
    finally:
        _chosen.reset(token)
