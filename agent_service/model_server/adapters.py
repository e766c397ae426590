"""LoRA adapters on one base model: load, check, unload, and the forward pass that gives each row its own.
Not thread-safe: the model's thread alone calls it. What is wrong with an adapter is a Refusal, and leaves
the model as it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model, set_peft_model_state_dict
from transformers.cache_utils import Cache

from agent_service.model_server.adapter_files import read_adapter
from agent_service.model_server.refusal import Refusal, unknown_model

BASE_ROW = "__base__"  # PEFT's word in `adapter_names` for a row without an adapter


class Adapters:
    """The base model `name` and the adapters on it. A name, once loaded, stands for one folder."""

    def __init__(self, model: Any, name: str, max_loras: int) -> None:
        self.base_name = name
        self._base = model
        self._peft: Any = None  # the same model, wrapped, while there is an adapter
        self._max_loras = max_loras
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
        """Logits of the last `keep` tokens; each row through the adapter that it names."""
        arguments: dict[str, Any] = {
            "input_ids": ids_BL,
            "attention_mask": seen_BK,
            "position_ids": positions_BL,
            "past_key_values": cache,
            "use_cache": cache is not None,
            "logits_to_keep": keep,
        }
        if self._peft is None:
            logits_BLV: torch.Tensor = self._base(**arguments).logits
        else:
            inner = [BASE_ROW if name == self.base_name else self._loaded[name][0] for name in names]
            logits_BLV = self._peft(**arguments, adapter_names=inner).logits
        return logits_BLV

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
