"""Serves a stack's metrics for Prometheus: `ratchet metrics`, or, beside a local stack,

    python -m ratchet.monitoring.metrics_server --stack FILE --port N

Without authentication: on the loopback unless --host names another address.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from ratchet.stack.side_programs import METRICS_PORT
from ratchet.stack.state import settings_of
from shared import logs
from shared.errors import RatchetError, SettingsError


def serve(stack: Path, host: str, port: int) -> None:
    """Until SIGTERM or Ctrl-C. Raises SettingsError where there is no such stack, or the port is taken."""
    from prometheus_client import CollectorRegistry, start_http_server

    from ratchet.monitoring.metrics import StackCollector

    settings = settings_of(stack)
    logs.set_up("metrics", settings.log_format)
    registry = CollectorRegistry(auto_describe=False)  # else it would read the ledger once before serving
    registry.register(StackCollector(settings))
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        hint = "give another --port; 0 takes a free one"
        raise SettingsError(f"can't serve on {host}:{port}: {error.strerror}", hint) from None
    print(f"metrics: http://{host}:{server.server_port}/metrics", flush=True)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    ending.wait()
    server.shutdown()
    server.server_close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ratchet.monitoring.metrics_server", description=__doc__)
    parser.add_argument("--stack", type=Path, required=True, help="stack.json, or the TOML file of a stack")
    parser.add_argument("--port", type=int, default=METRICS_PORT)
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    try:
        serve(options.stack, options.host, options.port)
    except RatchetError as error:
        print(f"metrics: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
