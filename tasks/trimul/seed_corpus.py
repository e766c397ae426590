"""Prints what the seed model learns from: the FORM of answers, drawn at random and never by their scores.

python seed_corpus.py COUNT SEED. Every other prompt shows a schedule; its answer copies most of it.
"""

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "harness"))
from scaffold import draw, dump, messages

PROMPTS = Path(__file__).parent / "harness" / "prompts"


def main(count: int, seed: int) -> None:
    prompts = {path.stem: path.read_text(encoding="utf-8") for path in PROMPTS.glob("*.md")}
    rng = random.Random(seed)
    for number in range(count):
        instance = {
            "N": rng.randint(16, 144),
            "C": rng.choice([32, 64, 128]),
            "mask": rng.choice(["random", "ones"]),
            "distribution": rng.choice(["normal", "cauchy"]),
        }
        near = draw(rng) if number % 2 else None
        example = None if near is None else dump(near)
        line = {"messages": messages(instance, prompts, example), "answer": dump(draw(rng, near))}
        print(json.dumps(line))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
