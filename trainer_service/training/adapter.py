"""Writes a trained adapter as a folder in PEFT layout, and only one that was verified: read back into a fresh
base model it is finite, neither zero nor absurd, and gives the trained policy's log-probabilities.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file

from shared.errors import TrainingError
from trainer_service.recipe import Recipe
from trainer_service.specs import TrainingSample, TrainSpec
from trainer_service.training.device import Precision
from trainer_service.training.guards import check_adapter
from trainer_service.training.model import load_base, sequence_logprobs

FINGERPRINT_TOKENS = 512  # at most: the last ones of a sample
FINGERPRINT_CHOICES = 4  # samples that are tried
TOLERANCE = 1e-3  # between the trained policy and the adapter read back, per token


@dataclass(frozen=True)
class Fingerprint:
    """What an endpoint that has loaded the adapter must answer for these tokens (of token_ids[1:])."""

    token_ids: tuple[int, ...]
    logprobs: list[float]
    base_logprobs: list[float]

    @property
    def contrast(self) -> float:
        """How clearly it separates the adapter from the bare base."""
        return max(abs(a - b) for a, b in zip(self.logprobs, self.base_logprobs, strict=True))


def fingerprint_of(policy: Any, samples: Sequence[TrainingSample]) -> Fingerprint:
    """Of a few samples the one on which the adapter changes most. All ranks call it together."""
    taken = []
    for sample in samples[:FINGERPRINT_CHOICES]:
        token_ids = (*sample.prompt_ids, *sample.token_ids)[-FINGERPRINT_TOKENS:]
        logprobs = sequence_logprobs(policy, token_ids)
        with policy.disable_adapter():
            taken.append(Fingerprint(token_ids, logprobs, sequence_logprobs(policy, token_ids)))
    return max(taken, key=lambda fingerprint: fingerprint.contrast)


def write_adapter(
    spec: TrainSpec,
    chosen: Recipe,
    weights: Mapping[str, torch.Tensor],
    policy: Any,
    fingerprint: Fingerprint,
    precision: Precision,
) -> float:
    """The folder spec.out, whole or not at all; returns the adapter's norm relative to the base."""
    temporary = spec.out.with_name(f"{spec.out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    policy.save_pretrained(temporary, state_dict=dict(weights), save_embedding_layers=False)
    tidy(temporary, spec.base_digest)
    place = next(policy.parameters())
    norm = verify(spec, temporary, fingerprint, place.device, precision.base)
    facts = {
        "name": f"{spec.name_prefix}-{weights_digest(temporary)[:12]}",
        "base": spec.base_digest,
        "fingerprint": asdict(fingerprint),
        "algorithm": spec.algorithm,
        "norm": norm,
        "precision": precision.name,
        "steps": chosen.steps,
        "batch": chosen.batch,
        "learning_rate": chosen.learning_rate,
        "kl_weight": spec.kl_weight,
        "seed": spec.seed,
    }
    (temporary / "ratchet.json").write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")
    shutil.rmtree(spec.out, ignore_errors=True)
    temporary.rename(spec.out)
    return norm


def verify(
    spec: TrainSpec, folder: Path, fingerprint: Fingerprint, device: torch.device, dtype: torch.dtype
) -> float:
    """Reads the folder back into a fresh base; raises TrainingError where it is not what was trained."""
    base = load_base(spec.base, dtype).to(device)
    base_weights = dict(base.state_dict())
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    scale = config["lora_alpha"] / config["r"]
    weights = load_file(folder / "adapter_model.safetensors", device=str(device))
    norm = check_adapter(weights, base_weights, scale)
    again = sequence_logprobs(PeftModel.from_pretrained(base, folder).eval(), fingerprint.token_ids)
    error = max(abs(a - b) for a, b in zip(again, fingerprint.logprobs, strict=True))
    if not error <= TOLERANCE:
        raise TrainingError(f"the adapter read back differs from the trained policy by {error:.2g} nats")
    return norm


def tidy(folder: Path, base_digest: str) -> None:
    """Same weights, same bytes, whatever the machine: no paths, no unordered lists, no model card."""
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base_digest
    config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=1, sort_keys=True), encoding="utf-8")


def weights_digest(folder: Path) -> str:
    return hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()
