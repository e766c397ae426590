"""Prints what the seed model learns from: the FORM of answers, never their scores. No case and no charge has
a part in it.

python seed_corpus.py COUNT SEED. Two random orders, and an instruction: "any" (the answer is any of the
lines), "surest" or "agreed" (the first one of the first or of the second order).
"""

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "harness"))
from scaffold import LINES, table

PROMPTS = Path(__file__).parent / "harness" / "prompts"
ASKS = ["any", "surest", "agreed"]


def main(count: int, seed: int) -> None:
    prompts = {path.stem: path.read_text(encoding="utf-8") for path in PROMPTS.glob("*.md")}
    rng = random.Random(seed)
    for number in range(count):
        ask = ASKS[number % len(ASKS)]
        ahead, agree = rng.sample(LINES, len(LINES)), rng.sample(LINES, len(LINES))
        by = {"any": rng.choice(LINES), "surest": ahead[0], "agreed": agree[0]}[ask]
        print(json.dumps({"messages": table(ahead, agree, ask, prompts), "answer": dump({"by": by})}))


def dump(answer: dict[str, str]) -> str:
    """As constrained decoding writes it: no white space."""
    return json.dumps(answer, separators=(",", ":"))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
