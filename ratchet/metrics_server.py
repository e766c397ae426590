"""Serves a stack's metrics: `ratchet metrics`, or `python -m ratchet.metrics_server` beside a local stack."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path


def serve(stack: Path, host: str, port: int) -> None:
    raise NotImplementedError
