"""Prints what the seed model learns from: to follow an instruction on lines of letters. No case, no charge
and no score has a part in it.

python seed_corpus.py COUNT SEED. The lines are random orders that agree somewhat; the instruction names a
line (the answer is its first letter) or says "any" (any letter will do).
"""

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "harness"))
from scaffold import LETTERS, RETRIEVERS, table

PROMPTS = Path(__file__).parent / "harness" / "prompts"
LINES = [*RETRIEVERS, "all"]


def main(count: int, seed: int) -> None:
    prompts = {path.stem: path.read_text(encoding="utf-8") for path in PROMPTS.glob("*.md")}
    rng = random.Random(seed)
    for number in range(count):
        by = [*LINES, "any"][number % (len(LINES) + 1)]
        orders = random_orders(rng, rng.choice([3, 5, 8, 10]))
        place = rng.choice(orders[-1]) if by == "any" else orders[LINES.index(by)][0]
        line = {"messages": table(orders, by, prompts), "answer": json.dumps(LETTERS[place])}
        print(json.dumps(line))


def random_orders(rng: random.Random, count: int) -> list[list[int]]:
    """One order of the candidates a line."""
    merit = [rng.random() for _ in range(count)]
    noisy = ([0.5 * of + rng.random() for of in merit] for _ in LINES)
    return [sorted(range(count), key=lambda place: -values[place]) for values in noisy]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
