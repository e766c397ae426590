"""Prints what the seed model learns from: the FORM of answers, drawn without a look at their scores.

python seed_corpus.py COUNT SEED
"""

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "harness"))
from scaffold import messages  # noqa: E402

PROMPTS = {path.stem: path.read_text() for path in (Path(__file__).parent / "harness" / "prompts").glob("*.md")}


def main(count: int, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(count):
        instance = {"length": rng.randint(3, 8)}
        answer = "".join(rng.choice("abcdef") for _ in range(rng.randint(1, 12)))
        print(json.dumps({"messages": messages(instance, PROMPTS), "answer": answer}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
