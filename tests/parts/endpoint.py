"""An OpenAI-compatible endpoint on 127.0.0.1 for tests: deterministic answers, LoRA by name, scripted faults.
Adapters shift the base's log-probabilities by what their ratchet.json states."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Body = dict[str, Any]


@dataclass
class Fault:
    """What the next chat request gets instead of an answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    trickle_s: float = 0.0  # between the bytes of the body
    breaks_off: bool = False  # the connection is closed before the body's end


def is_control(body: Body) -> bool:
    return body.get("messages") == [{"role": "user", "content": "Say OK."}]


def base_logprobs(token_ids: list[int]) -> list[float]:
    """Of token_ids[1:], under the endpoint's base model."""
    return [-1.0 - (token % 7) / 10 for token in token_ids[1:]]


def completion(text: str, **choice: Any) -> Body:
    tokens = list(text.encode())
    return {
        "prompt_token_ids": [1, 2, 3],
        "usage": {"prompt_tokens": 3, "completion_tokens": len(tokens)},
        "choices": [
            {
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
                "token_ids": tokens,
                "free_tokens": [True] * len(tokens),
                "logprobs": {"content": [{"token": "", "logprob": -0.5} for _ in tokens]},
                **choice,
            }
        ],
    }


class Endpoint:
    """Context manager. `answer` makes a reply's text from a request's body."""

    def __init__(self, answer: Callable[[Body], str] = lambda body: f"seed {body.get('seed')}") -> None:
        self.answer = answer
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, Body]] = []  # path and body of every POST
        self._turn = 0
        self.base = "seed"
        self.well = True  # are plain requests answered, whatever becomes of the others?
        self.known: list[dict[str, list[float]]] = [{}]  # by replica: its adapters
        self.replicas = 1  # servers behind this address, which answer in turn
        self.loads_on_first_alone = False
        self.lora_routes = True
        self.no_lora = _json(404, {"detail": "Not Found"})  # the answer where there are no such routes
        self.elsewhere = _json(404, {"detail": "Not Found"})  # the answer beside /v1
        self.ignores_adapters = False
        self.tells_prompt_logprobs = True
        self.lists: list[str] | None = None  # the list of models, where that is not what is served
        self.refuses: dict[str, str] = {}  # parameter -> the message of its 400
        self.controls = 0  # plain requests that only ask whether the endpoint is well
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def adapters(self) -> dict[str, list[float]]:
        """Name -> its fingerprint's log-probabilities: of the server whose turn it is."""
        self.known += [{} for _ in range(self.replicas - len(self.known))]
        return self.known[self._turn % self.replicas]

    @adapters.setter
    def adapters(self, adapters: dict[str, list[float]]) -> None:
        self.known[0] = adapters

    @property
    def asked(self) -> list[Body]:
        """All chat requests but the plain ones."""
        chat = [body for path, body in self.seen if path == "/v1/chat/completions"]
        return [body for body in chat if not is_control(body)]

    def __enter__(self) -> "Endpoint":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def respond(self, path: str, body: Body) -> Fault:
        self._turn += 1
        if not path.startswith("/v1/"):
            return self.elsewhere
        if path == "/v1/models":
            listed = [self.base, *self.adapters] if self.lists is None else self.lists
            return _json(200, {"data": [{"id": name} for name in listed]})
        if path.endswith("_lora_adapter"):
            return self._lora(path, body)
        if body["model"] not in (self.base, *self.adapters):
            return _error(404, f"no model {body['model']}")
        if path == "/v1/completions" and not self.tells_prompt_logprobs:
            return _json(200, {"choices": [{"text": ""}]})
        if path == "/v1/completions":
            return _json(200, self._score(body))
        if is_control(body) and self.well:
            self.controls += 1
            return _json(200, completion("OK"))
        if self.faults:
            return self.faults.pop(0)
        if refusal := next((self.refuses[name] for name in body if name in self.refuses), None):
            return _error(400, refusal)
        return _json(200, completion(self.answer(body)))

    def _lora(self, path: str, body: Body) -> Fault:
        name = body["lora_name"]
        if not self.lora_routes:
            return self.no_lora
        if path == "/v1/unload_lora_adapter":
            return _json(200, {}) if self.adapters.pop(name, None) else _error(404, f"no {name}")
        if not Path(body["lora_path"]).exists():
            return _error(404, f"No adapter found for {body['lora_path']}")
        card = json.loads((Path(body["lora_path"]) / "ratchet.json").read_text())
        if card.get("broken"):
            return _error(400, "adapter_model.safetensors: lora_A is not finite")
        into = self.known[0] if self.loads_on_first_alone else self.adapters
        into[name] = card["served"]
        return Fault(200, b"Success")

    def _score(self, body: Body) -> Body:
        ids = body["prompt"]
        shifted = body["model"] in self.adapters and not self.ignores_adapters
        logprobs = self.adapters[body["model"]] if shifted else base_logprobs(ids)
        entries = [{str(token): {"logprob": value}} for token, value in zip(ids[1:], logprobs, strict=True)]
        return {"choices": [{"text": "", "prompt_logprobs": [None, *entries]}]}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send(endpoint.respond(self.path, {}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.seen.append((self.path, body))
                self._send(endpoint.respond(self.path, body))

            def _send(self, fault: Fault) -> None:
                self.send_response(fault.status)
                for name, value in {"Content-Type": "application/json", **fault.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(fault.body)))
                self.end_headers()
                try:
                    self._write(fault)
                except OSError:  # the client has had enough
                    self.close_connection = True
                self.close_connection = self.close_connection or fault.breaks_off

            def _write(self, fault: Fault) -> None:
                for byte in fault.body if fault.trickle_s else ():
                    self.wfile.write(bytes([byte]))
                    time.sleep(fault.trickle_s)
                if not fault.trickle_s:
                    self.wfile.write(fault.body[: -1 if fault.breaks_off else None])

            def log_message(self, *_: object) -> None:
                """Tests read `seen` instead."""

        return Handler


def _json(status: int, value: Body) -> Fault:
    return Fault(status, json.dumps(value).encode())


def _error(status: int, message: str) -> Fault:
    return _json(status, {"error": {"message": message, "type": "test", "code": status}})
