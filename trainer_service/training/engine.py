"""DeepSpeed around the policy: process group, engine, and the adapter gathered back out of its shards.

One process needs no port and no launcher; under the launcher there are as many as it starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import deepspeed
import deepspeed.ops
import torch
import torch.distributed as dist
from peft import get_peft_model_state_dict

from shared.box.machine_lock import busy
from trainer_service.specs import TrainSpec
from trainer_service.training.guards import CarefulAdamW
from trainer_service.training.model import trainable
from trainer_service.training.values import HEAD

CLIP_NORM = 1.0
ADAM_EPSILON = 1e-8


def start_processes() -> None:
    """Join the launcher's process group, or make one of this process alone."""
    if not torch.cuda.is_available():
        # Else the first engine compiles a C++ op for half a minute, and refuses to run without ninja.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if "WORLD_SIZE" in os.environ:
        deepspeed.init_distributed(backend)
    else:
        os.environ["LOCAL_RANK"] = "0"
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]


def make_engine(policy: Any, spec: TrainSpec, learning_rate: float, scale: float = 1.0) -> Any:
    """The engine. `scale`: what the losses come multiplied with. Adam's update does not change with it where
    epsilon and the clipping norm grow along."""
    optimizer = CarefulAdamW(
        trainable(policy).values(), lr=learning_rate, weight_decay=0.0, eps=ADAM_EPSILON * scale
    )
    config = {
        "train_micro_batch_size_per_gpu": 1,  # nominal: losses are divided by what counts in the whole step
        "gradient_accumulation_steps": 1,  # nominal: take_step marks where a step ends
        "gradient_clipping": CLIP_NORM * scale,
        "zero_optimization": {"stage": spec.zero_stage},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
    }
    engine, *_ = deepspeed.initialize(
        model=policy, optimizer=optimizer, config=config, dist_init_required=False
    )
    return engine


def step_with_norm(engine: Any) -> float:
    """Take the step; returns the gradient's norm before it was clipped. Where ZeRO shards the gradients
    DeepSpeed alone knows it, and only after the step."""
    gradients = [p.grad.norm() for p in trainable(engine.module).values() if p.grad is not None]
    engine.step()
    if engine.zero_optimization():
        return float(engine.get_global_grad_norm() or 0.0)
    return float(torch.stack(gradients).norm()) if gradients else 0.0


def step_was_applied(engine: Any) -> bool:
    """Whether the last step changed the weights; the same answer on every rank."""
    optimizer = getattr(engine.optimizer, "optimizer", engine.optimizer)
    return bool(engine.was_step_applied()) and not optimizer.refused


@contextmanager
def machine_busy() -> Iterator[None]:
    """The machine's shared lock, for all ranks at once; held for one micro-batch, so that a timed block never
    waits long. Only rank 0 takes it: if each did, a rank that waits for a timed block and one that holds the
    lock and waits for that rank would deadlock."""
    if dist.get_rank() == 0:
        with busy():
            dist.barrier()
            yield
    else:
        dist.barrier()
        yield


def sum_over_ranks(values: torch.Tensor) -> torch.Tensor:
    dist.all_reduce(values)
    return values


def gather_adapter(engine: Any) -> dict[str, torch.Tensor]:
    """The adapter's tensors as PEFT names them, whole on every rank also where ZeRO-3 shards them."""
    weights = {name: weight for name, weight in trainable(engine.module).items() if HEAD not in name}
    if engine.zero_optimization_partition_weights():
        with deepspeed.zero.GatheredParameters(list(weights.values())):
            whole = {name: weight.detach().cpu().clone() for name, weight in weights.items()}
    else:
        whole = {name: weight.detach().cpu().clone() for name, weight in weights.items()}
    state: dict[str, torch.Tensor] = get_peft_model_state_dict(
        engine.module, state_dict=whole, save_embedding_layers=False
    )
    return state
