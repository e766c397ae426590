"""Prints what the seed model learns from: to follow an instruction on a table of digits. No case, no charge
and no score has a part in it.

python seed_corpus.py COUNT SEED. The tables are random; the instruction names a column (or "sum", or "any"),
and the answer is the letter of the row that it asks for.
"""

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "harness"))
from scaffold import COLUMNS, LETTERS, table

PROMPTS = Path(__file__).parent / "harness" / "prompts"


def main(count: int, seed: int) -> None:
    prompts = {path.stem: path.read_text(encoding="utf-8") for path in PROMPTS.glob("*.md")}
    rng = random.Random(seed)
    for number in range(count):
        by = [*COLUMNS, "sum", "any"][number % (len(COLUMNS) + 2)]
        rows = random_rows(rng, rng.choice([3, 5, 8, 10]))
        line = {
            "messages": table(rows, by, prompts),
            "answer": json.dumps(LETTERS[choose(rows, by, rng)]),
        }
        print(json.dumps(line))


def random_rows(rng: random.Random, count: int) -> list[list[int]]:
    """Rows of which some are better than others throughout; the best of a column has a 9."""
    merit = [rng.random() for _ in range(count)]
    columns = []
    for _ in COLUMNS:
        values = [0.5 * of + 0.5 * rng.random() ** 2 for of in merit]
        columns.append([round(9 * value / max(values)) for value in values])
    return [list(row) for row in zip(*columns, strict=True)]


def choose(rows: list[list[int]], by: str, rng: random.Random) -> int:
    """A row that the instruction allows; of several, any."""
    if by == "any":
        return rng.randrange(len(rows))
    values = [sum(row) if by == "sum" else row[COLUMNS.index(by)] for row in rows]
    return rng.choice([place for place, value in enumerate(values) if value == max(values)])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
