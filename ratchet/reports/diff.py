"""What lies between two releases, for `ratchet diff`: harness texts, knobs, adapter norms, and the scores of
instances that both were measured on. They may be of two runs.
"""

from __future__ import annotations

import difflib
import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

from ratchet.reports.trace import read_attempts
from ratchet.runs.evaluate import find_release
from ratchet.runs.folder import RunFolder
from shared.decisions.intervals import interval_json
from shared.errors import ToolMissingError
from shared.harness.bundle import load_harness
from shared.messages.records import UNSCORED, Release
from shared.store.store import get_bundle

Side = tuple[RunFolder, Release]


def diff(first: str, second: str, root: Path) -> dict[str, Any]:
    """Raises SettingsError for an unknown run or generation, ToolMissingError without safetensors."""
    sides = find_release(first, root), find_release(second, root)
    files = [get_bundle(folder.open_store(), release.harness) for folder, release in sides]
    knobs = [load_harness(found).values for found in files]
    return {
        "first": {"name": first, "digest": sides[0][1].digest, **sides[0][1].model_dump()},
        "second": {"name": second, "digest": sides[1][1].digest, **sides[1][1].model_dump()},
        "harness": harness_diff(*files),
        "knobs": {
            name: [knobs[0].get(name), knobs[1].get(name)]
            for name in sorted(knobs[0].keys() | knobs[1].keys())
            if knobs[0].get(name) != knobs[1].get(name)
        },
        "adapters": [adapter_norms(*side) for side in sides],
        "scores": scores(*sides),
    }


def harness_diff(old: dict[str, bytes], new: dict[str, bytes]) -> dict[str, str]:
    """A unified diff of each file that differs."""
    found = {}
    for path in sorted(old.keys() | new.keys()):
        before, after = (files.get(path, b"").decode(errors="replace") for files in (old, new))
        if before != after:
            lines = difflib.unified_diff(
                before.splitlines(), after.splitlines(), "first", "second", lineterm=""
            )
            found[path] = "\n".join(lines)
    return found


def adapter_norms(folder: RunFolder, release: Release) -> dict[str, float] | None:
    """Frobenius norm of each module's update, alpha / r * B A: how far it moves the base there. None: the
    release has no adapter."""
    if release.adapter is None:
        return None
    try:
        from safetensors.numpy import load
    except ImportError:
        raise ToolMissingError(
            "norms of adapters need safetensors", "pip install 'ratchet-sia[train]'"
        ) from None
    files = get_bundle(folder.open_store(), release.adapter)
    config = json.loads(files["adapter_config.json"])
    scale = config["lora_alpha"] / config["r"]
    tensors = load(files["adapter_model.safetensors"])
    norms = {}
    for name, a in sorted(tensors.items()):
        if ".lora_A" not in name:
            continue
        b = tensors[name.replace(".lora_A", ".lora_B")].astype("float64")
        a = a.astype("float64")
        squared = ((b.T @ b) * (a @ a.T)).sum()  # trace(A' B' B A), by matrices of rank times rank alone
        norms[name.partition(".lora_A")[0].removeprefix("base_model.model.")] = scale * float(squared) ** 0.5
    return norms


def scores(first: Side, second: Side) -> dict[str, Any]:
    """Final scores of the instances that both releases were measured on, a mean where several times, and the
    interval of their paired difference."""
    one, other = (_scores_of(*side) for side in (first, second))
    shared = sorted(one.keys() & other.keys())
    rows = [{"instance": name, "first": fmean(one[name]), "second": fmean(other[name])} for name in shared]
    gain = interval_json([fmean(other[name]) - fmean(one[name]) for name in shared]) if shared else None
    return {"instances": rows, "second_minus_first": gain}


def _scores_of(folder: RunFolder, release: Release) -> dict[str, list[float]]:
    """Attempts with knobs of their own, as in an experiment on train instances, are another harness's."""
    found: dict[str, list[float]] = defaultdict(list)
    for attempt in read_attempts(folder):
        plan, final = attempt.state.plan, attempt.state.final
        if final and plan.release == release and not plan.knobs and final.outcome not in UNSCORED:
            found[str(plan.instance.get("id"))].append(final.score)
    return found
