"""Starts the server: `python -m agent_service.model_server --model DIR --port N --name NAME`. Ends with its
parent.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from pathlib import Path

from agent_service.model_server.idempotency import ReplyCache
from shared import logs
from shared.children import die_with_parent
from shared.config.secrets import read_secret
from shared.errors import RatchetError, SettingsError

LARGE_PARAMETERS = 20_000_000  # a smaller model is no faster on several cores, which others can use
logger = logging.getLogger("agent_service.model_server")


def main() -> int:
    options = _options()
    die_with_parent()
    logs.set_up("model_server", options.log_format)
    try:
        serve(options)
    except KeyboardInterrupt:
        return 130
    except RatchetError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


def serve(options: argparse.Namespace) -> None:
    """Load the model, then listen: a client that can connect can ask. The port is bound before, so that one
    in use is known at once."""
    listener = _bind(options.host, options.port)
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads or _cores()))
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # spinning threads starve each other on a busy machine
    import torch
    import uvicorn
    from transformers.utils.logging import disable_progress_bar

    from agent_service.model_server.adapters import Adapters
    from agent_service.model_server.app import create_app
    from agent_service.model_server.engine import Engine
    from agent_service.model_server.loading import load_language_model
    from agent_service.model_server.prompts import Prompter

    torch.set_num_threads(options.threads or 1)
    disable_progress_bar()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    language = load_language_model(options.model, device)
    if not options.threads and language.parameters >= LARGE_PARAMETERS:
        torch.set_num_threads(_cores())
    engine = Engine(language, Adapters(language.model, options.name, options.max_loras))
    app = create_app(
        engine,
        Prompter(language),
        ReplyCache(options.replies),
        api_key=read_secret(options.api_key) if options.api_key else "",
        adapters_root=options.adapters,
    )
    listener.listen(512)
    host, port = listener.getsockname()[:2]
    logger.info("ready: %s on %s at http://%s:%d/v1", options.name, device, host, port)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _bind(host: str, port: int) -> socket.socket:
    """Bound, not listening yet. Raises SettingsError."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        hint = "give another --port; 0 takes a free one"
        raise SettingsError(f"can't serve on {host}:{port}: {error.strerror}", hint) from None
    return listener


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m agent_service.model_server", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a folder in Hugging Face format")
    parser.add_argument("--name", required=True, help="the base model's name in requests")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one and logs it")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--max-loras", type=int, default=8, help="adapters loaded at once")
    parser.add_argument("--adapters", type=Path, help="the folder that adapters must lie in")
    parser.add_argument(
        "--api-key", default="", help="env:NAME or file:PATH of the key that clients must send"
    )
    parser.add_argument("--replies", type=Path, help="a file that remembers replies by Idempotency-Key")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0: by the model's size")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
