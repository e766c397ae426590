"""A stand-in that answers as vLLM's documentation and its sources say: LoRA routes that are there only with
VLLM_ALLOW_RUNTIME_LORA_UPDATING, a name that is never given twice, a limit of rank, OpenAI's error shape.
"""

import json
from pathlib import Path
from typing import Any

from tests.parts.endpoint import Body, Endpoint, Fault, base_logprobs, completion


class Vllm(Endpoint):
    def __init__(self, max_lora_rank: int = 16, max_model_len: int = 64, **environment: bool) -> None:
        super().__init__(lambda body: "ok")
        self.max_lora_rank = max_lora_rank
        self.max_model_len = max_model_len
        self.rank_status = 400  # of the refusal of a rank
        self.ranks_late = environment.get("ranks_late", False)  # as old releases: in the first request
        self.runtime_lora = environment.get("runtime_lora", True)
        self.enable_lora = environment.get("enable_lora", True)
        self.too_high: dict[str, int] = {}  # names that were taken -> their rank

    def respond(self, path: str, body: Body) -> Fault:
        if path == "/v1/models":
            root = {"id": self.base, "object": "model", "root": self.base, "parent": None}
            loras = [{"id": name, "object": "model", "parent": self.base} for name in self.adapters]
            return answer(200, {"object": "list", "data": [root, *loras]})
        if path in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter"):
            return self.lora(path, body) if self.runtime_lora else answer(404, {"detail": "Not Found"})
        if path not in ("/v1/chat/completions", "/v1/completions"):
            return answer(404, {"detail": "Not Found"})
        if body["model"] not in (self.base, *self.adapters):
            return error(404, f"The model `{body['model']}` does not exist.", "NotFoundError", "model")
        if body["model"] in self.too_high:
            return self.rank_refused(self.too_high[body["model"]])
        if path == "/v1/completions":
            return answer(200, self.prompt_logprobs(body))
        prompt = sum(len(message["content"].split()) for message in body["messages"])
        if prompt + body["max_tokens"] > self.max_model_len:
            problem = (
                f"This model's maximum context length is {self.max_model_len} tokens. However, you requested "
            )
            problem += f"{body['max_tokens']} output tokens and your prompt contains {prompt} input tokens."
            return error(400, problem, "BadRequestError", "input_tokens")
        return answer(200, completion(self.answer(body)))

    def lora(self, path: str, body: Body) -> Fault:
        name = body["lora_name"]
        if path == "/v1/unload_lora_adapter":
            if self.adapters.pop(name, None) is None:
                return error(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
            return Fault(200, f"Success: LoRA adapter '{name}' removed successfully.".encode())
        if name in self.adapters:
            problem = (
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place"
            )
            return error(400, f"{problem}, set 'load_inplace' to True.", "InvalidUserInput")
        if not self.enable_lora:
            return error(400, "LoRA is not enabled. Use `--enable-lora` to enable LoRA.", "BadRequestError")
        folder = Path(body["lora_path"])
        if not (folder / "ratchet.json").exists():
            return error(404, f"Loading lora {name} failed: No adapter found for {folder}", "NotFoundError")
        card = json.loads((folder / "ratchet.json").read_text())
        if card.get("rank", 8) > self.max_lora_rank:
            if not self.ranks_late:
                return self.rank_refused(card["rank"])
            self.too_high[name] = card["rank"]
        self.adapters[name] = card["served"]
        return Fault(200, f"Success: LoRA adapter '{name}' added successfully.".encode())

    def rank_refused(self, rank: int) -> Fault:
        problem = f"LoRA rank {rank} is greater than max_lora_rank {self.max_lora_rank}."
        return error(self.rank_status, problem, "BadRequestError")

    def prompt_logprobs(self, body: Body) -> Body:
        """With `prompt_logprobs`: null for the first token, then the chosen token's entry by its id."""
        ids: list[int] = body["prompt"]
        values = self.adapters.get(body["model"]) or base_logprobs(ids)
        entries: list[Any] = [
            {str(token): {"logprob": value, "rank": 1, "decoded_token": "x"}}
            for token, value in zip(ids[1:], values, strict=True)
        ]
        listed = [None, *entries] if "prompt_logprobs" in body else None
        return {"object": "text_completion", "choices": [{"index": 0, "text": "", "prompt_logprobs": listed}]}


def answer(status: int, body: object) -> Fault:
    return Fault(status, json.dumps(body).encode())


def error(status: int, message: str, kind: str, param: str | None = None) -> Fault:
    return answer(status, {"error": {"message": message, "type": kind, "param": param, "code": status}})
