"""What must hold before an adapter is loaded: its run's trainer signed just these files, for this run and
base, and the weights are plain LoRA of the stated rank, finite, within bounds and not zero. Who must have
signed is shared/store/trust.py.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from shared.errors import ArtifactError
from shared.messages.records import JsonObject
from shared.store.files import file_digest
from shared.store.signing import SIGNATURE, Origin, check_signature
from shared.store.trust import Trust

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
MAX_NORM = 5.0  # of a LoRA product against its base weight, as in trainer_service/training/guards.py
DTYPES = {"F32": "<f4", "F16": "<f2"}  # safetensors' names


def check_files(files: Mapping[str, str], signature: bytes | None, base: str, trust: Trust) -> None:
    """`files`: the bundle's, by name and sha256. Raises ArtifactError."""
    if not trust.signer:
        return
    if signature is None:
        raise ArtifactError("it is not signed", "this run's trainer signs what it publishes")
    payload = {name: digest for name, digest in files.items() if name != SIGNATURE}
    check_signature(payload, signature, Origin(trust.run_id, base), trust.signer)


def check_folder(folder: Path, files: Mapping[str, str], norm: float) -> None:
    """The unpacked adapter, right before a server reads it. Raises ArtifactError."""
    for name, digest in files.items():
        if not (folder / name).is_file() or file_digest(folder / name) != digest:
            raise ArtifactError(f"{folder / name} is not the file that was published", "delete the folder")
    if WEIGHTS in files and CONFIG in files:
        if not 0 < norm <= MAX_NORM:
            raise ArtifactError(f"it is {norm:g} times its base (above 0, at most {MAX_NORM:g})")
        check_weights((folder / WEIGHTS).read_bytes(), json.loads((folder / CONFIG).read_bytes()))


def check_weights(data: bytes, config: JsonObject) -> None:
    """Raises ArtifactError unless these are the two matrices of each layer, of the stated rank, on the stated
    modules, all finite, and some product not zero."""
    tensors = read_tensors(data)
    downs = [name for name in tensors if ".lora_A." in name]
    odd = [n for n in tensors if n not in downs and n.replace(".lora_B.", ".lora_A.") not in downs]
    if odd or not downs:
        raise ArtifactError(f"it holds {odd[0] if odd else 'no weights'}, which is no plain LoRA")
    changes = False
    for name in downs:
        down, up = tensors[name], tensors.get(name.replace(".lora_A.", ".lora_B."))
        module = name.split(".lora_A.")[0].rpartition(".")[2]
        ranks = {down.shape[0], up.shape[-1] if up is not None else 0}
        if module not in config.get("target_modules", ()):
            raise ArtifactError(f"it holds weights for {module}, which its config does not name")
        if up is None or ranks != {config.get("r")}:
            raise ArtifactError(f"{name} is not of rank {config.get('r')}")
        if not (np.isfinite(down).all() and np.isfinite(up).all()):
            raise ArtifactError(f"{name} or its partner is not finite")
        changes = changes or bool(up.any() and down.any())
    if not changes:
        raise ArtifactError("it changes nothing: it equals its base")


def read_tensors(data: bytes) -> dict[str, np.ndarray]:
    """A safetensors file's tensors of the types above (https://github.com/huggingface/safetensors#format)."""
    try:
        (size,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + size])
        header.pop("__metadata__", None)
        return {name: _tensor(data, 8 + size, entry) for name, entry in header.items()}
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"its {WEIGHTS} can't be read: {error}") from None


def _tensor(data: bytes, start: int, entry: JsonObject) -> np.ndarray:
    dtype, (first, last) = DTYPES[entry["dtype"]], entry["data_offsets"]
    count = math.prod(entry["shape"])
    if last - first != count * np.dtype(dtype).itemsize:
        raise ValueError("a tensor's size does not fit its shape")
    return np.frombuffer(data, dtype, count, start + first).reshape(entry["shape"])
