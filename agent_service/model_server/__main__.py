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

from agent_service.model_server.given import Given
from shared.children import die_with_parent
from shared.errors import RatchetError, SettingsError

logger = logging.getLogger("agent_service.model_server")


def main() -> int:
    options = _options()
    die_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        serve(options)
    except KeyboardInterrupt:
        return 130
    except RatchetError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


def serve(options: argparse.Namespace) -> None:
    """Load the model, then listen: whoever can connect can ask. The port is taken before, so that one in use
    is known at once."""
    listener = _bind(options.host, options.port)
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    import torch
    import uvicorn
    from transformers.utils.logging import disable_progress_bar

    from agent_service.model_server.adapters import Adapters
    from agent_service.model_server.app import create_app
    from agent_service.model_server.engine import Engine
    from agent_service.model_server.loading import load_language_model
    from agent_service.model_server.prompts import Prompter

    torch.set_num_threads(options.threads)
    disable_progress_bar()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    language = load_language_model(options.model, device)
    engine = Engine(language, Adapters(language.model, options.name, options.max_loras))
    app = create_app(engine, Prompter(language), Given(options.replies))
    listener.listen(512)
    host, port = listener.getsockname()[:2]
    logger.info("ready: %s on %s at http://%s:%d/v1", options.name, device, host, port)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


def _bind(host: str, port: int) -> socket.socket:
    """Bound, and deaf until it listens. Raises SettingsError."""
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
    parser.add_argument("--replies", type=Path, help="a file that remembers replies by Idempotency-Key")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
