"""The trusted side of trimul: instances, inputs, the float64 reference, the check, the score.

Triangle multiplicative update, outgoing. Masks are real, always passed, and tested. A program of its own
process; it imports numpy and nothing of Ratchet.
"""

import json
import math
import random
from pathlib import Path

import numpy as np

H = 128
EPS = 1e-5
TOLERANCE = 2e-2  # relative and absolute, of every element: one miss fails
RMS_TOLERANCE = (
    1e-5  # of the whole, relative: float32 stays below 6e-7, half precision in any place above 3e-5
)

# Shapes that no two splits share. Most are so small that the naive program takes at most about 60 ms; one in
# eight is so large that caches no longer hold the operator, and takes half a second.
LINES = {"train": (32, 40, 48, 56, 64), "gate": (36, 44, 52, 60), "test": (34, 42, 50, 58)}
LARGE, LARGE_SHARE = {"train": 128, "gate": 120, "test": 136}, 1 / 8
CHANNELS = (32, 64, 128)
MASKS, DISTRIBUTIONS = ("random", "ones"), ("normal", "cauchy")
OWN_FILE = Path(__file__).with_name("data") / "shapes.json"  # a user's, for all splits: data.py writes it
OWN = json.loads(OWN_FILE.read_text(encoding="utf-8")) if OWN_FILE.exists() else []
LARGEST = {"B": 16, "N": 1024, "C": 1024}  # that a person may ask for
MOST_ELEMENTS = 1 << 25  # of one tensor

FLAGS = ["-O3", "-march=native", "-ffast-math", "-fopenmp"]
CALL = """
#include <stdint.h>
void trimul(int B, int N, int C, int H, const float *x, const float *mask,
            const float *ln1_w, const float *ln1_b, const float *wl, const float *wr, const float *wlg,
            const float *wrg, const float *wog, const float *ln2_w, const float *ln2_b, const float *wout,
            float *out);
extern double stage_s[4] __attribute__((weak)), peak_gflops __attribute__((weak)); /* as it tells */
static void call(void **in, void **out) {
    const int64_t *n = in[0];
    float *told = out[1];
    trimul(n[0], n[1], n[2], n[3], in[1], in[2], in[3], in[4], in[5], in[6], in[7], in[8], in[9], in[10],
           in[11], in[12], out[0]);
    for (int i = 0; i < 4; i++) told[i] = stage_s ? stage_s[i] : 0;
    told[4] = &peak_gflops ? peak_gflops : 0;
}
"""


def draw(split, count, seed):
    """`count` instances of a split. No seed exhausts it; the same seed gives the same instances."""
    rng = random.Random(f"trimul-{split}-{seed}")
    drawn = {}
    while len(drawn) < count:  # among a hundred thousand two may be the same
        instance = _instance(split, rng)
        drawn.setdefault(instance["id"], instance)
    return list(drawn.values())


def _instance(split, rng):
    lines = (LARGE[split],) if rng.random() < LARGE_SHARE else LINES[split]
    shape = rng.choice(OWN) if OWN else {"N": rng.choice(lines), "C": rng.choice(CHANNELS)}
    kinds = {"mask": rng.choice(MASKS), "distribution": rng.choice(DISTRIBUTIONS)}
    drawn = {"B": 1, **kinds, **shape, "seed": rng.randrange(1 << 31)}
    return {"id": f"{split}-N{drawn['N']}-C{drawn['C']}-{drawn['seed']:08x}", **drawn}


def check_instance(instance):
    """Why an instance that a person wrote can't be taken; empty where it can."""
    for name, most in LARGEST.items():
        size = instance.get(name)
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= most:
            return f"{name} must be a whole number from 1 to {most}, not {size!r}"
    if instance["B"] * instance["N"] ** 2 * max(instance["C"], H) > MOST_ELEMENTS:
        return f"B * N * N * max(C, {H}) may be at most {MOST_ELEMENTS}, which N = 512 with C = 128 reaches"
    mask, distribution = instance.get("mask"), instance.get("distribution")
    if not isinstance(mask, bool) and mask not in MASKS:
        return f"mask must be true, false or one of {', '.join(MASKS)}, not {mask!r}"
    if distribution not in DISTRIBUTIONS:
        return f"distribution must be one of {', '.join(DISTRIBUTIONS)}, not {distribution!r}"
    return ""


def make_inputs(instance, rng):
    """Fresh x, mask and weights, in the order of the entry's arguments. `rng` is the caller's secret."""
    b, n, c = instance["B"], instance["N"], instance["C"]
    x = _x(instance["distribution"], (b, n, n, c), rng)
    mask = _mask(instance["mask"], (b, n, n), rng)

    def normal(*shape, scale=1.0):
        return rng.standard_normal(shape, np.float32) * np.float32(scale)

    projections = {name: normal(H, c, scale=H**-0.5) for name in ("wl", "wr", "wlg", "wrg", "wog")}
    return {
        "dims": np.array([b, n, c, H], np.int64),
        "x": x,
        "mask": mask,
        "ln1_w": normal(c),
        "ln1_b": normal(c),
        **projections,
        "ln2_w": normal(H),
        "ln2_b": normal(H),
        "wout": normal(c, H, scale=c**-0.5),
    }


def _x(distribution, shape, rng):
    if distribution == "normal":
        return rng.standard_normal(shape, np.float32)
    if distribution == "cauchy":
        return (2 * rng.standard_cauchy(shape)).astype(np.float32)
    raise ValueError(f"distribution is 'normal' or 'cauchy', not {distribution!r}")


def _mask(kind, shape, rng):
    """True and "random": zeros and ones; False and "ones": all ones. Nothing else, least of all "False"."""
    if kind is True or kind == "random":
        return rng.integers(0, 2, shape).astype(np.float32)
    if kind is False or kind == "ones":
        return np.ones(shape, np.float32)
    raise ValueError(f"mask is true, false, 'random' or 'ones', not {kind!r}")


def output_shapes(instance):
    """`told`: what the program reports itself, processor seconds of its stages and a peak: for `measures`."""
    return {"out": (instance["B"], instance["N"], instance["N"], instance["C"]), "told": (5,)}


def measures(instance, baseline, got):
    """Which share of the cores' measured peak a program reaches in each stage, by its own account: for people
    and for the model, never for the score. {} for a program that reports none. The baseline brings the
    peak, which is that of float32 in vectors: with the matrix unit a share may be above 1.
    """
    peak, (_, *stages_s) = float(baseline["told"][4]), (float(value) for value in got["told"][:4])
    positions = instance["B"] * instance["N"] ** 2
    work = {"projections": 5 * instance["C"], "product": instance["N"], "outputs": instance["C"]}
    if peak <= 0 or min(stages_s) <= 0:
        return {}
    shares = {
        f"peak_share_{stage}": 2e-9 * positions * H * depth / seconds / peak
        for (stage, depth), seconds in zip(work.items(), stages_s, strict=True)
    }
    return {"peak_gflops": peak, **shares}


def expected(instance, inputs):
    wide = {name: array.astype(np.float64) for name, array in inputs.items()}
    y = _layer_norm(wide["x"], wide["ln1_w"], wide["ln1_b"])
    mask = wide["mask"][..., None]
    left = y @ wide["wl"].T * mask * _sigmoid(y @ wide["wlg"].T)
    right = y @ wide["wr"].T * mask * _sigmoid(y @ wide["wrg"].T)
    product = np.moveaxis(np.moveaxis(left, 3, 1) @ np.moveaxis(right, 3, 1).swapaxes(2, 3), 1, 3)  # bijd
    gated = _layer_norm(product, wide["ln2_w"], wide["ln2_b"]) * _sigmoid(y @ wide["wog"].T)
    return {"out": gated @ wide["wout"].T}


def _layer_norm(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPS) * weight + bias


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def check(instance, expected, got):
    return check_within(expected, got, RMS_TOLERANCE)


def check_within(expected, got, rms_tolerance):
    """Why `got` is not right; empty where it is. `rms_tolerance`: of the whole, relative."""
    want, have = expected["out"], got["out"]
    if not np.isfinite(have).all():
        return f"{int((~np.isfinite(have)).sum())} of {have.size} elements are not finite"
    error = np.abs(have - want)
    fits = error <= TOLERANCE + TOLERANCE * np.abs(want)
    if not fits.all():
        first = tuple(int(i) for i in np.argwhere(~fits)[0])
        return (
            f"{int((~fits).sum())} of {have.size} elements are off; the first at {list(first)}: "
            f"{have[first]:.5g} instead of {want[first]:.5g}"
        )
    rms = math.sqrt(float((error**2).mean())) / max(math.sqrt(float((want**2).mean())), 1e-30)
    return "" if rms <= rms_tolerance else f"relative RMS error {rms:.2g} is over {rms_tolerance:g}"


def baseline(instance):
    """The plain program, and with it the measurement of the peak, which runs when it is loaded."""
    folder = Path(__file__).parent
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in ("naive.c", "peak.c"))


def score(instance, speedup):
    """0 at the naive program's speed, 1 at `fastest`, straight in the logarithm between them."""
    share = math.log(max(speedup, 1e-9)) / math.log(fastest(instance))
    return min(1.0, max(0.0, share))


def fastest(instance):
    """The speed-up that scores 1, which grows with N as what is possible does: all products at the peak of
    two cores' matrix units, and nothing else to do, would be near it."""
    return max(48.0, instance["N"])
