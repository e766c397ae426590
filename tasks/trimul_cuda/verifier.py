"""The trusted side of trimul_cuda: launches, floors and splits; the mathematics is tasks/trimul's own.

A program of its own process; it imports numpy, the other task's verifier by path, and nothing of Ratchet.
"""

import importlib.util
import math
import random
from pathlib import Path

_PATH = Path(__file__).resolve().parents[1] / "trimul" / "verifier.py"
_SPEC = importlib.util.spec_from_file_location("trimul_verifier", _PATH)
_maths = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_maths)

make_inputs = _maths.make_inputs
expected = _maths.expected

H = _maths.H
ARCH = "sm_90a"
FLAGS = ["-O3"]
RMS_TOLERANCE = (
    2e-3  # half-precision operands with float32 sums, as the public problem allows them: 2e-4 to 6e-4
)
SLOWEST, FASTEST = 0.5, 1000.0  # speed-ups over the plain kernels that score 0 and 1

# No two splits share an N. The test split is the seven shapes of the public benchmark, all with real masks.
LINES = {"train": (192, 288, 416, 576), "gate": (224, 352, 480, 640)}
CHANNELS = (128, 384)
TEST = (
    (2, 256, 128, "normal"),
    (1, 768, 128, "cauchy"),
    (2, 256, 384, "normal"),
    (1, 512, 128, "normal"),
    (1, 1024, 128, "cauchy"),
    (1, 768, 384, "normal"),
    (1, 1024, 384, "normal"),
)

# What a kernel may be given in its `// launch:` line, and what it has without.
DEFAULTS = {
    "prepare": {"tile": [8192], "block": [256]},
    "project": {"tile": [8, H], "block": [H]},
    "product": {"tile": [4, 4], "block": [H]},
    "finish": {"tile": [8], "block": [H]},
}
SHARED_BYTES_MOST = 227 << 10
THREADS = (32, 1024)  # of a block
BLOCKS_MOST = 65_535
GIVEN = {"tile", "blocks", "block", "shared_bytes", "cluster", "overlaps"}  # of a kernel, by `// launch:`
LINE = 128

# Half-precision matrix products and memory traffic as measured on one device, per second. One that is not
# here gets the fastest there is, so that its floor is never too high.
RATES = {"H200": (790e12, 4.3e12), "H100": (700e12, 2.9e12)}
FASTEST_KNOWN = (2.5e15, 8e12)


def output_shapes(instance):
    return {"out": _maths.output_shapes(instance)["out"]}


def check(instance, expected, got):
    return _maths.check_within(expected, got, RMS_TOLERANCE)


def draw(split, count, seed):
    """`count` instances of a split; the test split has no more than its seven shapes a seed."""
    rng = random.Random(f"trimul-cuda-{split}-{seed}")
    if split == "test":
        shapes = rng.sample(TEST, len(TEST))[:count]
        return [_instance(split, *shape, "random", rng) for shape in shapes]
    drawn = {}
    while len(drawn) < count:  # among a hundred thousand two may be the same
        shape = (rng.choice((1, 2)), rng.choice(LINES[split]), rng.choice(CHANNELS))
        instance = _instance(split, *shape, rng.choice(_maths.DISTRIBUTIONS), rng.choice(_maths.MASKS), rng)
        drawn.setdefault(instance["id"], instance)
    return list(drawn.values())


def _instance(split, b, n, c, distribution, mask, rng):
    drawn = {
        "B": b,
        "N": n,
        "C": c,
        "mask": mask,
        "distribution": distribution,
        "seed": rng.randrange(1 << 31),
    }
    return {"id": f"{split}-B{b}-N{n}-C{c}-{drawn['seed']:08x}", **drawn}


def small(instance):
    """What makes an instance small: no tile divides it, there are several batches, pairs of blocks don't
    divide the lines, and the mask is a real one."""
    return {"B": 3, "N": 11, "mask": "random"}


def scratch(instance):
    """Device buffers between the kernels, in bytes, for lines padded to LINE; used as a kernel likes."""
    padded = -(-instance["N"] // LINE) * LINE
    size = 4 * instance["B"] * padded**2 * H
    weights = 4 * 6 * H * instance["C"]
    return {"left": size, "right": size, "gate": size, "hidden": size, "weights": weights}


def launch(instance, meta):
    """prepare (if `meta` names it), project, product, finish: geometry within bounds, as grids of tiles."""
    b, n, c = instance["B"], instance["N"], instance["C"]
    dims = [{"i32": value} for value in (b, n, c, H)]
    unknown = set(meta) - set(DEFAULTS)
    if unknown:
        raise ValueError(f"no kernel named {sorted(unknown)[0]!r}; there are {', '.join(DEFAULTS)}")
    rows = b * n * n
    matrices = ["wl", "wr", "wlg", "wrg", "wog"]
    first = ["x", "mask", "ln1_w", "ln1_b", *matrices, "left", "right", "gate", "weights"]
    last = ["hidden", "gate", "ln2_w", "ln2_b", "wout", "weights", "out"]
    early = [_tiled(meta, "prepare", [6 * H * c], [*matrices, "wout", "weights", *dims])]
    return [
        *(early if "prepare" in meta else []),
        _tiled(meta, "project", [rows, H], [*first, *dims]),
        _tiled(meta, "product", [n, n, b * H], ["left", "right", "hidden", *dims]),
        _tiled(meta, "finish", [rows, c], [*last, *dims]),
    ]


def _tiled(meta, kernel, extents, args):
    """A launch whose grid covers `extents` in tiles, an extent without a tile being one block's alone; or one
    of so many `blocks`, which share the work out among themselves. Rounded up to whole clusters."""
    given = meta.get(kernel, {})
    if not isinstance(given, dict) or set(given) - GIVEN:
        raise ValueError(f"{kernel}: give an object with some of {', '.join(sorted(GIVEN))}, not {given!r}")
    chosen = {"shared_bytes": 0, "cluster": [1], "overlaps": False, **DEFAULTS[kernel], **given}
    tile = _whole(kernel, "tile", chosen["tile"], len(extents))
    block = _whole(kernel, "block", chosen["block"], 3)
    if not THREADS[0] <= math.prod(block) <= THREADS[1]:
        raise ValueError(
            f"{kernel}: a block has {THREADS[0]} to {THREADS[1]} threads, not {math.prod(block)}"
        )
    shared = chosen["shared_bytes"]
    if type(shared) is not int or not 0 <= shared <= SHARED_BYTES_MOST:
        raise ValueError(f"{kernel}: shared_bytes is 0 to {SHARED_BYTES_MOST}, not {shared!r}")
    grid = [-(-extent // size) for extent, size in zip(extents, tile, strict=False)]
    if "blocks" in chosen:
        grid = _whole(kernel, "blocks", [chosen["blocks"]], 1)
        if grid[0] > BLOCKS_MOST:
            raise ValueError(f"{kernel}: blocks is 1 to {BLOCKS_MOST}, not {grid[0]}")
    if type(chosen["overlaps"]) is not bool:
        raise ValueError(f"{kernel}: overlaps is true or false, not {chosen['overlaps']!r}")
    cluster = [*_whole(kernel, "cluster", chosen["cluster"], 3), 1, 1][:3]
    return {
        "kernel": kernel,
        "grid": [-(-count // size) * size for count, size in zip([*grid, 1, 1], cluster, strict=False)],
        "block": [*block, 1, 1][:3],
        "shared_bytes": shared,
        "cluster": cluster,
        "overlaps": chosen["overlaps"],
        "args": args,
    }


def _whole(kernel, name, value, most):
    fits = isinstance(value, list) and 1 <= len(value) <= most
    if not fits or not all(type(size) is int and 1 <= size < 1 << 31 for size in value):
        raise ValueError(f"{kernel}: {name} is a list of 1 to {most} positive whole numbers, not {value!r}")
    return value


def floor_s(instance, device):
    """Seconds below which no device of that name can be: products at full rate, or x and out moved once."""
    b, n, c = instance["B"], instance["N"], instance["C"]
    rows = b * n * n
    operations = rows * c * H * 2 * 5 + b * n**3 * H * 2 + rows * H * c * 2
    moved = 4 * rows * (2 * c + 1)
    rate, bandwidth = next((found for name, found in RATES.items() if name in device), FASTEST_KNOWN)
    return max(operations / rate, moved / bandwidth)


def baseline(instance):
    return (Path(__file__).parent / "naive.cu").read_text(encoding="utf-8")


def score(instance, speedup):
    """0 at SLOWEST, 1 at FASTEST, straight in the logarithm between them."""
    share = math.log(max(speedup, 1e-9) / SLOWEST) / math.log(FASTEST / SLOWEST)
    return min(1.0, max(0.0, share))
