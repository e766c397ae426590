"""Flower over a stack's broker: behind basic authentication, read-only (no button of it stops a worker),
and without regard to FLOWER_ variables.

    python -m ratchet.monitoring.flower_server --stack FILE --password-file FILE
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ratchet.stack.side_programs import FLOWER_PORT, FLOWER_USER
from ratchet.stack.state import settings_of
from shared import logs
from shared.bus.celery_app import make_app
from shared.errors import RatchetError, SettingsError

COLUMNS = "name,state,worker,received,runtime,args"


def main() -> int:
    options = _options()
    logs.set_up("flower")
    try:
        logs.set_up("flower", settings_of(options.stack).log_format)
        serve(options)
    except RatchetError as error:
        print(f"flower: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def serve(options: argparse.Namespace) -> None:
    for name in [name for name in os.environ if name.startswith("FLOWER_")]:
        del os.environ[name]
    app = make_app(settings_of(options.stack))
    import flower.options  # noqa: F401 - defines what tornado's parser knows
    import flower.urls
    from flower.views.monitor import Metrics
    from tornado.options import options as flowers

    # the one page with data and without a password; metrics_server.py has better numbers
    flower.urls.handlers.remove(("/metrics", Metrics))
    flowers.basic_auth = [f"{FLOWER_USER}:{read_password(options.password_file)}"]  # on no command line
    argv = [f"--port={options.port}", f"--address={options.host}", f"--tasks_columns={COLUMNS}"]
    app.start(["flower", *argv, "--read_only=true", "--max_tasks=20000", "--purge_offline_workers=600"])


def read_password(file: Path) -> str:
    """Raises SettingsError: without a password nothing is served."""
    try:
        password = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"can't read Flower's password in {file}: {error.strerror}") from None
    if not password:
        raise SettingsError(
            f"Flower's password in {file} is empty", "write one into it, readable by you alone"
        )
    return password


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ratchet.monitoring.flower_server", description=__doc__)
    parser.add_argument("--stack", type=Path, required=True, help="stack.json, or the TOML file of a stack")
    parser.add_argument("--password-file", type=Path, required=True)
    parser.add_argument("--port", type=int, default=FLOWER_PORT)
    parser.add_argument("--host", default="127.0.0.1")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
