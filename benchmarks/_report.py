"""The end of a benchmark that has a table: `--json` prints the result as JSON, `--out` records it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from shared.messages.records import JsonObject


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--out", type=Path, help="also write the JSON there")


def report(result: JsonObject, options: argparse.Namespace, table: Callable[[JsonObject], str]) -> None:
    text = json.dumps(result, indent=2)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text if options.json else table(result))
