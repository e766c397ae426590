"""Consoles of the command line: as wide as the terminal, and wide enough for every table where the output is
a file or a pipe.
"""

from __future__ import annotations

import sys

from rich.console import Console

FILE_WIDTH = 160  # characters; rich takes 80, which breaks an interval over two lines


def make_console(stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else FILE_WIDTH)
