"""`ratchet ui`: serves the console on the loopback, or on another address behind a token."""

from __future__ import annotations

import secrets
from pathlib import Path

import typer

from ratchet.stack.side_programs import take_port

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


def serve(root: Path, host: str, port: int) -> None:
    """Until Ctrl-C. Raises SettingsError where the port is taken."""
    import uvicorn

    from ratchet.ui.app import make_app

    local = host in LOOPBACK
    port = take_port(port, "--port", host)
    token = "" if local else secrets.token_urlsafe(24)
    app = make_app(root, token, LOOPBACK if local else frozenset())
    suffix = f"?token={token}" if token else ""
    typer.echo(f"console of the runs in {root}: http://{host}:{port}/{suffix}   (Ctrl-C ends it)", err=True)
    uvicorn.run(app, host=host, port=port, log_level="warning")
