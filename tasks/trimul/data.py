"""Binds a user's own shapes to a copy of this task: `data.py import SHAPES INTO`, and `instances FILE INTO`.

Both read JSON lines. A shape has N and C, and may have B (else 1), mask and distribution (else drawn); its id
and seed are not used. Every split draws from the same shapes, with fresh numbers. A mistake: exit code 2, the
message on stderr.
"""

import json
import sys
from pathlib import Path

from verifier import DISTRIBUTIONS, MASKS, check_instance

DRAWN = {"B": 1, "mask": MASKS[0], "distribution": DISTRIBUTIONS[0]}


class ShapeError(Exception):
    """What, where, how to fix it."""


def main(arguments):
    operation, source, into = arguments[0], Path(arguments[1]), Path(arguments[2])
    try:
        rows = read_rows(source)
        if operation == "import":
            print(json.dumps(import_shapes(rows, source, into)))
        else:
            for number, row in rows.items():
                print(json.dumps({"id": f"{source.stem}-{number}"} | row))
    except ShapeError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def read_rows(source):
    """The objects by line number."""
    try:
        lines = source.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ShapeError(f"can't read {source}: {error} (JSON lines in UTF-8 are wanted)") from None
    rows = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows[number] = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", type(error).__name__)
            raise ShapeError(f"{source}, line {number} is not JSON: {reason}") from None
        if not isinstance(rows[number], dict):
            raise ShapeError(f'{source}, line {number} is no JSON object such as {{"N": 256, "C": 128}}')
    if not rows:
        raise ShapeError(f'{source} holds no shape: one JSON object a line, such as {{"N": 256, "C": 128}}')
    return rows


def import_shapes(rows, source, into):
    shapes = [{name: row[name] for name in row if name not in ("id", "seed")} for row in rows.values()]
    for number, row in zip(rows, shapes, strict=True):
        if unknown := set(row) - {"N", "C", *DRAWN}:
            raise ShapeError(f"{source}, line {number}: a shape has no {', '.join(sorted(unknown))}")
        if fault := check_instance(DRAWN | row):
            raise ShapeError(f"{source}, line {number}: {fault}")
    (into / "data").mkdir(exist_ok=True)
    (into / "data" / "shapes.json").write_text(json.dumps(shapes), encoding="utf-8")
    return {"counts": {"shapes": len(rows)}, "refused": {}, "warnings": []}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
