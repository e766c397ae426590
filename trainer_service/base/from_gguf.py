"""Converts a GGUF file into a folder in Hugging Face format: weights (no longer quantized) and tokenizer.

python -m trainer_service.base.from_gguf SPEC     (a GgufSpec as JSON)
"""

from __future__ import annotations

import logging
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from trainer_service.specs import GgufResult, GgufSpec

log = logging.getLogger(__name__)

SHARD = "2GB"
FLOAT32_PARAMETERS = 1_000_000_000  # larger models are kept in half the space; their quantization lost more
READABLE = 0o644


def main(arguments: list[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    spec = GgufSpec.model_validate_json(Path(arguments[0]).read_bytes())
    torch.set_num_threads(spec.threads)
    disable_progress_bar()
    try:
        convert(spec.file, spec.out)
        result = GgufResult()
    except Exception as error:  # whatever a library makes of a user's file: no second try reads it
        result = GgufResult(refusal=f"{type(error).__name__}: {error}"[:1000])
    temporary = spec.result.with_suffix(".tmp")
    temporary.write_text(result.model_dump_json(), encoding="utf-8")
    temporary.replace(spec.result)


def convert(file: Path, out: Path) -> None:
    """Raises ValueError or NotImplementedError for an architecture that transformers does not read."""
    source: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(file.parent, **source)
    read, loaded = AutoModelForCausalLM.from_pretrained(
        file.parent, dtype=torch.float32, output_loading_info=True, **source
    )
    if missing := sorted(loaded["missing_keys"]):  # they would be random
        raise ValueError(f"it lacks {len(missing)} of the model's weights, such as {missing[0]}")
    model = unquantized(read)
    if sum(weight.numel() for weight in model.parameters()) > FLOAT32_PARAMETERS:
        model.to(torch.bfloat16)
    model.save_pretrained(out, max_shard_size=SHARD)
    tokenizer.save_pretrained(out)
    for path in out.iterdir():
        path.chmod(READABLE)
    log.info("converted %s: %s", file.name, type(model).__name__)


def unquantized(read: Any) -> Any:
    """The same weights, not copied, in a model that may be saved: one that counts as quantized may not."""
    config = deepcopy(read.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(read.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = read.generation_config
    return model


if __name__ == "__main__":
    main(sys.argv[1:])
