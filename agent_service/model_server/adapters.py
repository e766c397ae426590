"""LoRA adapters on one base model: load, check, unload, and the forward pass that gives each row its own.
Not thread-safe: the model's thread alone calls it. What is wrong with an adapter is a Refusal, and leaves
the model as it was.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from transformers.cache_utils import Cache

from agent_service.model_server.adapter_files import read_adapter
from agent_service.model_server.decoding.reading import Runner
from agent_service.model_server.refusal import Refusal, unknown_model

MIXING_TOLERANCE = 0.1  # nats; half precision rounds, a wrong row is further off
logger = logging.getLogger(__name__)
BASE_ROW = "__base__"  # PEFT's word in `adapter_names` for a row without an adapter


class Adapters:
    """The base model `name` and the adapters on it. A name, once loaded, stands for one folder."""

    def __init__(self, model: Any, name: str, max_loras: int) -> None:
        self.base_name = name
        self._base = model
        self._peft: Any = None  # the same model, wrapped, while there is an adapter
        self._max_loras = max_loras
        self._runner = Runner(model)
        head = model.get_output_embeddings().weight
        self._probe_ids = torch.tensor([[3, 5, 7, 11]], device=head.device).remainder(head.shape[0])
        self.mixes = True  # whether rows of several names may be in one batch
        self._loaded: dict[str, tuple[str, str]] = {}  # name -> (PEFT's name, folder)
        self._numbers = itertools.count()  # PEFT's names must be fit for attributes: a0, a1, ...

    def names(self) -> list[str]:
        return list(self._loaded)

    def folder(self, name: str) -> str:
        return self._loaded[name][1]

    def load(self, name: str, folder: Path) -> None:
        """Idempotent for the same name and folder. Raises Refusal."""
        if name in self._loaded and self.folder(name) == str(folder):
            return
        if name == self.base_name or name in self._loaded:
            raise Refusal(f"the name {name!r} is taken; a name is never given to other weights")
        if len(self._loaded) >= self._max_loras:
            raise Refusal(f"{self._max_loras} adapters are loaded, the most that fit; unload one first")
        config, weights = read_adapter(folder)
        inner = f"a{next(self._numbers)}"
        try:
            self._insert(inner, config, weights)
        except Refusal:
            self._remove(inner)
            raise
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            self._remove(inner)
            raise Refusal(f"{folder} does not fit the base model: {str(error)[:500]}") from error
        self._loaded[name] = (inner, str(folder))
        try:
            self._check_mixing(name)
        except Refusal:
            self.unload(name)
            raise

    def unload(self, name: str) -> None:
        if name not in self._loaded:
            raise unknown_model(name)
        inner, _ = self._loaded.pop(name)
        self._remove(inner)

    def require(self, name: str) -> None:
        """Raises Refusal for a name that is neither the base's nor a loaded adapter's."""
        if name != self.base_name and name not in self._loaded:
            raise unknown_model(name)

    def forward(
        self,
        ids_BL: torch.Tensor,
        seen_BK: torch.Tensor,
        positions_BL: torch.Tensor,
        cache: Cache | None,
        names: Sequence[str],
        keep: int,
    ) -> torch.Tensor:
        """Logits of the last `keep` tokens; each row through the adapter that it names. All name the same one
        where `mixes` is False."""
        given = (ids_BL, seen_BK, positions_BL, cache, keep)
        if self._peft is None:
            return self._runner.run(self._base, *given)
        if len(set(names)) > 1:
            inner = [BASE_ROW if name == self.base_name else self._loaded[name][0] for name in names]
            return self._runner.run(self._peft, *given, adapter_names=inner)
        with self._only(names[0]):
            return self._runner.run(self._peft, *given)

    @contextmanager
    def _only(self, name: str) -> Iterator[None]:
        """The whole model with one adapter, or with none."""
        if name == self.base_name:
            with self._peft.disable_adapter():
                yield
        else:
            self._peft.set_adapter(self._loaded[name][0])
            yield

    def _check_mixing(self, name: str) -> None:
        """Check that rows of the base and of this adapter give the same answers side by side as alone. Where
        they don't, batches hold rows of one name from then on. Raises Refusal for an adapter that can't be
        run at all."""
        try:
            with torch.inference_mode():
                alone = [self._probe([each]) for each in (self.base_name, name)]
                if self._keeps_rows_apart():
                    together = self._probe([self.base_name, name])
                    if (torch.cat(alone) - together).abs().max() <= MIXING_TOLERANCE:
                        return
        except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as error:
            raise Refusal(f"this model can't be run with the adapter: {str(error)[:500]}") from error
        self.mixes = False
        logger.warning("rows of several adapters can't share a batch of this model: one at a time")

    def _probe(self, names: list[str]) -> torch.Tensor:
        """Log-probabilities after the same few tokens in each row: axes BV."""
        ids_BL = self._probe_ids.repeat(len(names), 1)
        positions_BL = torch.arange(ids_BL.shape[1], device=ids_BL.device).expand_as(ids_BL)
        logits_BLV = self.forward(ids_BL, torch.ones_like(ids_BL), positions_BL, None, names, 1)
        return logits_BLV[:, -1].float().log_softmax(-1)

    def _keeps_rows_apart(self) -> bool:
        """Whether a batch's first axis is the rows in every layer that has an adapter. Some architectures
        (OPT) lay all rows end to end, and PEFT would take the tokens for rows."""
        shapes: list[int] = []
        adapted = [module for module in self._peft.modules() if isinstance(module, LoraLayer)]
        hooks = [m.register_forward_pre_hook(lambda _, x: shapes.append(x[0].shape[0])) for m in adapted]
        try:
            with self._peft.disable_adapter():
                self._peft(input_ids=self._probe_ids.repeat(2, 1), use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()
        return set(shapes) == {2}

    def _insert(self, inner: str, config: Any, weights: dict[str, torch.Tensor]) -> None:
        if self._peft is None:
            self._peft = get_peft_model(self._base, config, adapter_name=inner)
        else:
            self._peft.add_adapter(inner, config)
        outcome = set_peft_model_state_dict(self._peft, weights, adapter_name=inner)
        missing = [key for key in outcome.missing_keys if f".{inner}." in key]
        if missing or outcome.unexpected_keys:
            odd = (missing or outcome.unexpected_keys)[0]
            raise Refusal(
                f"the adapter does not fit its config and the base model: {odd} is missing or too much"
            )
        self._peft.eval()

    def _remove(self, inner: str) -> None:
        if self._peft is None:
            return
        if self._loaded:
            if inner in self._peft.peft_config:
                other, _ = next(iter(self._loaded.values()))
                self._peft.set_adapter(
                    other
                )  # PEFT warns of deleting the active one; rows name theirs anyway
                self._peft.delete_adapter(inner)
        else:
            self._base = self._peft.unload()
            self._peft = None
