"""Prints what the seed model learns from: the FORM of answers, never their scores. No case and no charge has
a part in it.

python seed_corpus.py COUNT SEED. Lines of letters in random orders that agree somewhat; the answer goes by a
line drawn at random, and names its first letter.
"""

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "harness"))
from scaffold import LETTERS, LINES, table

PROMPTS = Path(__file__).parent / "harness" / "prompts"


def main(count: int, seed: int) -> None:
    prompts = {path.stem: path.read_text(encoding="utf-8") for path in PROMPTS.glob("*.md")}
    rng = random.Random(seed)
    for _ in range(count):
        orders = random_orders(rng, rng.choice([3, 5, 8, 10]))
        by = rng.choice(LINES)
        answer = {"by": by, "charge": LETTERS[orders[LINES.index(by)][0]]}
        print(json.dumps({"messages": table(orders, prompts), "answer": dump(answer)}))


def dump(answer: dict[str, str]) -> str:
    """As constrained decoding writes it: no white space."""
    return json.dumps(answer, separators=(",", ":"))


def random_orders(rng: random.Random, count: int) -> list[list[int]]:
    """One order of the candidates a line."""
    merit = [rng.random() for _ in range(count)]
    noisy = ([0.5 * of + rng.random() for of in merit] for _ in LINES)
    return [sorted(range(count), key=lambda place: -values[place]) for values in noisy]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
