"""TRL's SFTTrainer as a contender of the trainer's benchmark: `python -m benchmarks.trainer.trl trl SPEC`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from benchmarks.trainer.contenders import lora, main
from shared.messages.records import JsonObject
from trainer_service.specs import TrainingSample


class Clock(TrainerCallback):  # type: ignore[misc]
    """How long each optimizer step takes."""

    def __init__(self) -> None:
        self.times_s: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.times_s.append(-time.perf_counter())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times_s[-1] += time.perf_counter()


def trl(base: Path, samples: list[TrainingSample], spec: JsonObject) -> list[float]:
    """On rows that are tokenized already; one epoch."""
    clock = Clock()
    rows = [
        {
            "input_ids": [*s.prompt_ids, *s.token_ids],
            "completion_mask": [0] * len(s.prompt_ids) + [1] * len(s.token_ids),
        }
        for s in samples
    ]
    config = SFTConfig(
        output_dir=spec["folder"],
        per_device_train_batch_size=spec["batch"],
        max_steps=spec["steps"],
        learning_rate=1e-3,
        max_length=None,
        completion_only_loss=True,
        gradient_checkpointing=False,
        bf16=False,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, spec["precision"])),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=lora(spec),
        callbacks=[clock],
    )
    trainer.train()
    return clock.times_s


if __name__ == "__main__":
    print(json.dumps(main(trl, Path(sys.argv[2]))))
