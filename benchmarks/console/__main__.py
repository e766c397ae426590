"""`ratchet bench console [--generations 500] [--attempts 50000] [--json]`: how soon the console answers for
an invented run, and how large its pages are.

`first_s`: from the request to the first byte, of a console that has just been started and has read nothing.
`again_s`: the median of the same page later. Times are wall time on this machine, the loopback included.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks._listening import listening
from benchmarks.console.big_run import write_run
from ratchet.ui.app import make_app
from shared.machine import machine_and_date
from shared.messages.records import JsonObject

AGAIN = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="ratchet bench console", description=__doc__)
    parser.add_argument("--generations", type=int, default=500)
    parser.add_argument("--attempts", type=int, default=50_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), asked.generations, asked.attempts)
    if asked.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{result['machine']}; the run was written in {result['written_s']:.0f} s")
    for row in result["pages"]:
        size = row["size_bytes"] / 1000
        print(f"{row['page']:12} first {row['first_s']:.3f} s, again {row['again_s']:.3f} s, {size:,.0f} kB")


def measure(root: Path, generations: int, attempts: int) -> JsonObject:
    began = time.perf_counter()
    write_run(root, "big", generations, attempts)
    written_s = time.perf_counter() - began
    last = f"/runs/big/generations/{generations}"
    pages = [("run", "/runs/big")]  # first: it meets the console that has read nothing
    pages += [
        ("runs", "/"),
        ("lineage", "/runs/big/lineage"),
        ("generation", last),
        ("attempts", f"{last}/screen"),
    ]
    rows = []
    with listening(make_app(root)) as address:
        for page, path in pages:
            rows.append({"page": page, **timed(address, path)})
        attempt = re.search(r"/runs/big/attempts/\w+/\d+", fetch(address, f"{last}/screen")[1])
        assert attempt, "no attempt is listed"
        rows.append({"page": "attempt", **timed(address, attempt[0])})
    return {
        **machine_and_date(),
        "generations": generations,
        "attempts": attempts,
        "written_s": written_s,
        "pages": rows,
    }


def timed(address: str, path: str) -> JsonObject:
    first_s, text = fetch(address, path)
    again_s = statistics.median(fetch(address, path)[0] for _ in range(AGAIN))
    return {"first_s": first_s, "again_s": again_s, "size_bytes": len(text.encode())}


def fetch(address: str, path: str) -> tuple[float, str]:
    """Seconds to the first byte, and the page. Raises RuntimeError for another answer than 200."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    began = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    first = answer.read(1)
    waited_s = time.perf_counter() - began
    text = (first + answer.read()).decode()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {text[:200]}")
    return waited_s, text


if __name__ == "__main__":
    main()
