"""Spans of real workers, over real doorbells, at a collector on the loopback: each job lies under the one
that made it, in the service that did it. Their logs are JSON, and rotated."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ratchet.stack.local import LocalStack
from tests.live.stack.run_stack import WORKERS, EchoRun, settings_in

wire = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")


class Collector:
    def __init__(self) -> None:
        self.spans: list[tuple[str, str, bytes, bytes, bytes]] = []  # service, name, trace, span, parent

    def take(self, body: bytes) -> None:
        for resource in wire.ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {one.key: one.value.string_value for one in resource.resource.attributes}
            self.spans += [
                (names["service.name"], span.name, span.trace_id, span.span_id, span.parent_span_id)
                for scope in resource.scope_spans
                for span in scope.spans
            ]


@contextmanager
def listening(collector: Collector) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.slow
def test_jobs_of_four_services_are_one_trace_and_their_logs_are_json_and_rotated(tmp_path: Path) -> None:
    collector, run = Collector(), EchoRun(tmp_path, "run-1")
    run.ledger.create_schema()
    with listening(collector) as url:
        changes = {"traces_url": url, "log_format": "json", "log_mb": 0.001}
        with LocalStack(tmp_path, settings_in(tmp_path).model_copy(update=changes), WORKERS) as stack:
            run.start(stack, seconds_a_shard=0)
            run.finish(stack)
            run.until(stack, lambda: len(collector.spans) >= 17)
    services = {service for service, *_ in collector.spans}
    assert services == {f"ratchet.{name}" for name in WORKERS}
    assert len({trace for *_, trace, _, _ in collector.spans}) == 1
    made_by = {span: name for _, name, _, span, _ in collector.spans}
    parents = {(name, made_by.get(parent, "")) for _, name, _, _, parent in collector.spans}
    assert ("process CandidatesProposed", "process ShardOpened") in parents
    assert ("process RolloutsJoined", "process CandidatesScored") in parents
    rotated = tmp_path / "logs" / "agent.log.1"
    lines = [line for line in rotated.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    assert {json.loads(line)["service"] for line in lines} == {"agent"}
