"""The trusted side of an imported kernel task. draw and score work; what raises is yours to write.

specs.json holds the shapes: train and gate from the task's tests, test from its benchmarks. Every boolean in
it is a boolean: check that your make_inputs treats it as one (a text "False" is true in Python).
"""

import json
import math
import random
from pathlib import Path

FOLDER = Path(__file__).parent
SPECS = json.loads((FOLDER / "specs.json").read_text(encoding="utf-8"))
ARCH = "sm_90"
FLAGS = ["-O3"]
SLOWEST, FASTEST = 0.5, 100.0  # speed-ups over baseline.cu that score 0 and 1


def draw(split, count, seed):
    """`count` instances of a split: its shapes in random order, again and again, each with a seed of its own.

    The mean of a logarithmic score over shapes ranks as the geometric mean of times does ("geom").
    """
    rng = random.Random(f"{split}-{seed}")
    drawn = []
    while len(drawn) < count:
        for spec in rng.sample(SPECS[split], len(SPECS[split])):
            number = rng.randrange(1 << 31)
            drawn.append({**spec, "id": f"{split}-{seed}-{len(drawn)}", "seed": number})
    return drawn[:count]


def make_inputs(instance, rng):
    """Fresh arrays by name (numpy, float32 or integers). Draw them from `rng`, the caller's secret."""
    raise NotImplementedError("port generate_input of the task's reference.py to numpy")


def output_shapes(instance):
    raise NotImplementedError("name the outputs with their shapes; they are float32")


def expected(instance, inputs):
    raise NotImplementedError("port ref_kernel of the task's reference.py to numpy, in float64")


def check(instance, expected, got):
    raise NotImplementedError("compare; answer '' where it is right, else the reason")


def small(instance):
    raise NotImplementedError("the fields that make an instance small, for checks on a CPU")


def scratch(instance):
    """Device buffers between kernels, in bytes."""
    return {}


def launch(instance, meta):
    """[{"kernel", "grid", "block", "shared_bytes", "args"}]; `meta` is the candidate's `// launch:` line."""
    raise NotImplementedError("say what is launched, within bounds; tasks/trimul_cuda shows one")


def floor_s(instance, device):
    """Seconds below which no device can be; a measured time under 0.9 of it is refused."""
    raise NotImplementedError("least bytes / bandwidth, or operations / rate, whichever is larger")


def baseline(instance):
    return (FOLDER / "baseline.cu").read_text(encoding="utf-8")


def score(instance, speedup):
    share = math.log(max(speedup, 1e-9) / SLOWEST) / math.log(FASTEST / SLOWEST)
    return min(1.0, max(0.0, share))
