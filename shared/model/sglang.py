"""How SGLang differs from vLLM in what adapters need: their routes lie beside /v1 and not below it, a request
names its adapter behind the base (a name that it does not know is answered by the base), and a prompt's
log-probabilities come from its own /generate. It sends nothing.
"""

from __future__ import annotations

import json
import math
from typing import Any

from shared.messages.records import JsonObject


def base_of(cards: list[JsonObject]) -> str:
    """The base model of an SGLang server by its list of models; empty: it is another kind of server."""
    bases = [card for card in cards if card.get("owned_by") == "sglang" and not card.get("parent")]
    return str(bases[0]["id"]) if bases else ""


def beside(url: str, route: str) -> str:
    """The address of one of its own routes, from that of the OpenAI-compatible ones."""
    return url.rstrip("/").removesuffix("/v1") + route


def generate_body(token_ids: list[int], adapter: str | None) -> JsonObject:
    """A request to /generate for the log-probabilities of these tokens."""
    sampling = {"temperature": 0.0, "max_new_tokens": 1}
    asked = {"input_ids": token_ids, "sampling_params": sampling, "return_logprob": True}
    return asked | {"logprob_start_len": 0, "lora_path": adapter}


def parse_generated(body: bytes, token_ids: list[int]) -> list[float] | None:
    """Log-probabilities of token_ids[1:]; None where the body does not hold them. An entry is
    (log-probability, token id, text), and the first token has none."""
    try:
        entries: list[Any] = json.loads(body)["meta_info"]["input_token_logprobs"]
        logprobs = [float(entry[0]) for entry in entries[1:]]
        same = [entry[1] for entry in entries] == token_ids
    except (ValueError, LookupError, TypeError):
        return None
    return logprobs if same and all(map(math.isfinite, logprobs)) else None
