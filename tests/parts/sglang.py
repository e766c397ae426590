"""A stand-in that answers as SGLang's documentation and its sources say: LoRA routes beside /v1, adapters
named behind the base, any other name served as the base, /generate for log-probabilities of a prompt.
"""

import json
from pathlib import Path

from tests.parts.endpoint import Body, Endpoint, Fault, base_logprobs, completion
from tests.parts.vllm import answer


class Sglang(Endpoint):
    def __init__(self, enable_lora: bool = True) -> None:
        super().__init__(lambda body: "ok")
        self.enable_lora = enable_lora

    def respond(self, path: str, body: Body) -> Fault:
        if path == "/v1/models":
            root = {
                "id": self.base,
                "object": "model",
                "owned_by": "sglang",
                "root": self.base,
                "parent": None,
            }
            loras = [root | {"id": name, "parent": self.base} for name in self.adapters]
            return answer(200, {"object": "list", "data": [root, *loras]})
        if path in ("/load_lora_adapter", "/unload_lora_adapter"):
            return self.lora(path, body)
        if path == "/generate":
            return self.generate(body)
        if path != "/v1/chat/completions":
            return answer(404, {"detail": "Not Found"})
        _, _, adapter = body["model"].partition(":")
        return self.unknown(adapter) or answer(200, completion(f"by {adapter or self.base}"))

    def unknown(self, adapter: str) -> Fault | None:
        if not adapter or adapter in self.adapters:
            return None
        problem = f"The following requested LoRA adapters are not loaded: {[adapter]}\nLoaded adapters: "
        problem += f"{list(self.adapters)}."
        return answer(400, {"object": "error", "message": problem, "type": "BadRequestError", "code": 400})

    def lora(self, path: str, body: Body) -> Fault:
        name = body["lora_name"]
        if not self.enable_lora:
            return self.updated("LoRA is not enabled. Please set `--enable-lora` to enable LoRA.")
        if path == "/unload_lora_adapter":
            known = self.adapters.pop(name, None)
            return self.updated("" if known else f"LoRA adapter with name {name} does not exist.")
        if name in self.adapters:
            return self.updated(f"LoRA adapter with name {name} already exists.")
        card = Path(body["lora_path"]) / "ratchet.json"
        if not card.exists():
            return self.updated(f"Failed to load LoRA adapter {name}: no adapter_config.json")
        self.adapters[name] = json.loads(card.read_text())["served"]
        return self.updated()

    def updated(self, problem: str = "") -> Fault:
        loaded = dict.fromkeys(self.adapters, "path")
        told = {"success": not problem, "error_message": problem, "loaded_adapters": loaded}
        return answer(400 if problem else 200, told)

    def generate(self, body: Body) -> Fault:
        ids, adapter = body["input_ids"], body["lora_path"] or ""
        values = self.adapters.get(adapter) or base_logprobs(ids)
        entries = [[None, ids[0], None], *([v, t, None] for v, t in zip(values, ids[1:], strict=True))]
        told = {"text": "", "meta_info": {"input_token_logprobs": entries}}
        return self.unknown(adapter) or answer(200, told)
