"""Prints what the seed model learns from: the FORM of answers, drawn without a look at their scores.

python seed_corpus.py COUNT SEED
"""

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "harness"))
sys.path.insert(0, str(Path(__file__).parent))
from examples import example
from scaffold import messages

PROMPTS = {
    path.stem: path.read_text(encoding="utf-8-sig")
    for path in (Path(__file__).parent / "harness" / "prompts").glob("[!.]*.md")
}


def main(count: int, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(count):
        instance, answer = example(rng)
        print(json.dumps({"messages": messages(instance, PROMPTS), "answer": answer}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
