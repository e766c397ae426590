"""`ratchet bench trainer`: trained tokens a second and peak memory of a supervised LoRA update, beside TRL's
SFTTrainer and a plain torch loop. Same base, same samples, same batch, same precision, same LoRA.

    python -m benchmarks.trainer [--base seed|smollm2|FOLDER] [--shared 8] [--steps 8] [--rounds 3] [--json]

Each run is a process of its own, so that its peak memory is its own; the contenders take turns, so that
other work on the machine slows all of them. `vs_torch` and `vs_trl` are medians of the rounds' ratios: above
1 this trainer is quicker. With `--precision bfloat16` it takes part in float32 too (`vs_float32`). Time is
that of the optimizer steps after the first, without loading and imports. A token counts once for every
sample that holds it, however often it is read: with `--shared` 8 samples in a row have one prompt, and all
prompts begin with the same `--opening` tokens.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from shared.machine import machine_and_date
from shared.messages.records import JsonObject

PROGRAMS = {
    "ratchet": "benchmarks.trainer.contenders",
    "torch": "benchmarks.trainer.contenders",
    "trl": "benchmarks.trainer.trl",
}
SCALES = (1, 2, 4, 8)  # times the tokens of a step


def main(arguments: list[str]) -> JsonObject:
    parser = argparse.ArgumentParser(prog="ratchet bench trainer", description=__doc__)
    parser.add_argument("--base", default="seed")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--prompt-tokens", type=int, default=160)
    parser.add_argument("--reply-tokens", type=int, default=48)
    parser.add_argument("--shared", type=int, default=1, metavar="N", help="samples that share a prompt")
    parser.add_argument("--opening", type=int, default=0, metavar="N", help="tokens that all prompts share")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--growth", action="store_true", help="this trainer with 2, 4, 8 times the tokens too"
    )
    parser.add_argument("--json", action="store_true", help="accepted for likeness: JSON is all it prints")
    asked = vars(parser.parse_args(arguments))
    if not 0 <= asked["opening"] < asked["prompt_tokens"] - 1:
        parser.error("--opening must leave a prompt two tokens of its own: see --prompt-tokens")
    growth, rounds = asked.pop("growth"), asked.pop("rounds")
    asked.pop("json")
    names = [name for name in PROGRAMS if name != "trl" or find_spec("trl")]
    half = asked["precision"] != "float32"
    taken: list[dict[str, JsonObject]] = []
    for _ in range(rounds):
        taken.append({name: run(name, asked) for name in names})
        if half:
            taken[-1]["float32"] = run("ratchet", asked | {"precision": "float32"})
    result: JsonObject = {
        **machine_and_date(),
        "settings": asked,
        "contenders": {name: summary([one[name] for one in taken]) for name in taken[0]},
        "vs_torch": ratio(taken, "torch"),
        "vs_trl": ratio(taken, "trl") if "trl" in names else None,
        "vs_float32": ratio(taken, "float32") if half else None,
    }
    if growth:
        result["growth"] = {
            str(scale): run("ratchet", asked | {"batch": scale * asked["batch"]})["tokens_per_s"]
            for scale in SCALES
        }
    return result


def run(name: str, settings: JsonObject) -> JsonObject:
    """One contender in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.json"
        spec.write_text(json.dumps(settings | {"folder": folder}), encoding="utf-8")
        argv = [sys.executable, "-m", PROGRAMS[name], name, str(spec)]
        done = subprocess.run(argv, capture_output=True, encoding="utf-8")
    if done.returncode != 0:
        raise SystemExit(f"{name} failed: {done.stderr[-2000:]}")
    found: JsonObject = json.loads(done.stdout.splitlines()[-1])
    return found


def summary(runs: list[JsonObject]) -> JsonObject:
    rates = [one["tokens_per_s"] for one in runs]
    return {
        "tokens_per_s": round(statistics.median(rates), 1),
        "each": [round(rate, 1) for rate in rates],
        "peak_mb": max(one["peak_mb"] for one in runs),
    }


def ratio(taken: list[dict[str, JsonObject]], other: str) -> float:
    ratios: list[float] = [one["ratchet"]["tokens_per_s"] / one[other]["tokens_per_s"] for one in taken]
    return float(round(statistics.median(ratios), 3))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=2))
