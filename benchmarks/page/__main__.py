"""`ratchet bench page`: writes docs/results.md from the recorded files in benchmarks/results.

    python -m benchmarks.page [--check]

With --check it changes nothing, and fails where the page is not what the files say. It measures nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
PAGE = HERE.parents[1] / "docs" / "results.md"


def render(results: Path = RESULTS) -> str:
    recorded = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))
    }
    studies = {
        name.removeprefix("compare_"): found
        for name, found in recorded.items()
        if name.startswith("compare_")
    }
    known = recorded | {
        "comparisons": studies,
        "trainers": [found for name, found in recorded.items() if name.startswith("trainer_")],
        "llm": recorded["demo_llm"]["run"],
        "legal": recorded["lawbench_arms"]["files"]["dev.jsonl"],
        "best_baseline": best_baseline,
    }
    pages = Environment(loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True)
    pages.filters |= {
        "interval": interval,
        "gain": gain,
        "number": number,
        "mean": mean_text,
        "minutes": minutes,
        "evaluations": evaluations,
    }
    return pages.get_template("results.md.j2").render(known)


def interval(found: Mapping[str, Any] | None) -> str:
    """`.212 [.121, .304]`; without an interval where there is none."""
    if found is None or found["mean"] is None:
        return "-"
    span = "" if found.get("low") is None else f" [{found['low']:.3f}, {found['high']:.3f}]"
    return f"{found['mean']:.3f}{span}"


def gain(found: Mapping[str, Any] | None) -> str:
    if found is None or found["mean"] is None:
        return "-"
    span = "" if found.get("low") is None else f" [{found['low']:+.3f}, {found['high']:+.3f}]"
    return f"{found['mean']:+.3f}{span}"


def number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def mean_text(values: Iterable[Any]) -> str:
    """Of what is there: an arm may have no candidates."""
    there = [value for value in values if value is not None and not isinstance(value, Undefined)]
    return number(mean(there) if there else None)


def minutes(rows: Sequence[Mapping[str, Any]]) -> str:
    """A run's, on average."""
    return f"{mean(row['cost']['wall_s'] for row in rows) / 60:.1f}" if rows else "-"


def evaluations(rows: Sequence[Mapping[str, Any]]) -> str:
    """That a run used, on average."""
    return f"{mean(row['cost']['evaluations'] for row in rows):.0f}" if rows else "-"


def best_baseline(baselines: Mapping[str, Any]) -> str:
    return max(baselines, key=lambda name: baselines[name]["score"]["mean"])


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="ratchet bench page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where the page differs; write nothing")
    asked = parser.parse_args(arguments)
    page = render()
    if asked.check:
        same = PAGE.read_text(encoding="utf-8") == page
        print(f"{PAGE.name} is {'what' if same else 'not what'} the recorded files say")
        return 0 if same else 1
    PAGE.write_text(page, encoding="utf-8")
    print(f"{PAGE} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
