"""The entry point. It imports the command line only once it can answer Ctrl-C, whenever that comes."""

from __future__ import annotations

import importlib
import sys

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main() -> None:
    try:
        importlib.import_module("ratchet.cli.main").main()
    except KeyboardInterrupt:
        print("ratchet: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
