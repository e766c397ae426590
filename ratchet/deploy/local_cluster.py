"""A cluster in memory: the few paths of the Kubernetes API that boxes use, over real HTTP on loopback, and
pods that really run, in bubblewrap on this machine. For trying and testing boxes that are pods where there
is no cluster.

It is no real cluster: no scheduler, no images, no network policies (a pod has no network at all but its one
port). It does enforce the Roles among its documents, the rules for restricted pods, and a quota.

    python -m ratchet.deploy.local_cluster BOXES_JSON   writes the file for RATCHET_BOXES, serves until Ctrl-C
"""

from __future__ import annotations

import contextlib
import copy
import json
import secrets
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from ratchet.deploy.local_pod import LocalPod
from ratchet.deploy.manifests import ROOT, find_renderer, of_kind, pods_of, render
from ratchet.deploy.pod_policies import SANDBOX, host_stays_out_of_reach, not_root
from shared.messages.records import JsonObject

Reply = tuple[int, JsonObject | str]


class LocalCluster:
    """Context manager. `documents`: PodTemplates among them are known by name. `images`: those that can be
    pulled, with whether the interpreter's environment is in them. `most_pods`: the quota."""

    def __init__(
        self, documents: Sequence[JsonObject], images: Mapping[str, bool], most_pods: int = 20
    ) -> None:
        self._templates = {
            (found["metadata"]["namespace"], found["metadata"]["name"]): found
            for found in documents
            if found["kind"] == "PodTemplate"
        }
        self._rules = [rule for role in of_kind(documents, "Role") for rule in role["rules"]]
        self._images = images
        self._most_pods = most_pods
        self._pods: dict[tuple[str, str], LocalPod] = {}
        self._lock = threading.Lock()
        cluster = self

        class Handler(_Handler):
            owner = cluster

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> LocalCluster:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        for pod in list(self._pods.values()):
            pod.end("deleted")

    def pods(self) -> list[JsonObject]:
        """All that are there, ended ones too."""
        with self._lock:
            return [found.pod for found in self._pods.values()]

    def evict(self, name: str) -> None:
        """As a node does that runs out of memory or is drained."""
        next(found for (_, known), found in self._pods.items() if known == name).end("Evicted")

    def answer(self, method: str, path: str, body: JsonObject) -> Reply:
        """One request. Paths: /api/v1/namespaces/NAMESPACE/KIND[/NAME[/log]]"""
        split = urlsplit(path)
        parts = split.path.strip("/").split("/")
        if parts[:3] != ["api", "v1", "namespaces"] or len(parts) < 5:
            return _status(404, f"no path {split.path}")
        namespace, kind, rest = parts[3], parts[4], parts[5:]
        if not self._may(verb := _verb(method, rest), resource := "/".join([kind, *rest[1:]])):
            return _status(
                403, f"the account cannot {verb} resource {resource!r} in the namespace {namespace!r}"
            )
        if kind == "podtemplates" and rest:
            found = self._templates.get((namespace, rest[0]))
            return (200, found) if found else _status(404, f'podtemplates "{rest[0]}" not found')
        if kind != "pods":
            return _status(404, f"no kind {kind}")
        if not rest:
            selector = parse_qs(split.query).get("labelSelector", [""])[0]
            return self._create(namespace, body) if method == "POST" else self._list(namespace, selector)
        return self._one(method, (namespace, rest[0]), rest[1:])

    def _may(self, verb: str, resource: str) -> bool:
        return any(verb in rule["verbs"] and resource in rule["resources"] for rule in self._rules)

    def _create(self, namespace: str, body: JsonObject) -> Reply:
        pod = copy.deepcopy(body)
        place = pod["metadata"]
        place.update(
            name=place.pop("generateName", "pod-") + secrets.token_hex(4),
            namespace=namespace,
            creationTimestamp=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        refused = [
            what
            for seen in pods_of([pod])
            for rule in (host_stays_out_of_reach, not_root)
            for what in rule(seen)
        ]
        if refused:
            return _status(403, f'pods "{place["name"]}" is forbidden: violates PodSecurity: {refused[0]}')
        image = pod["spec"]["containers"][0]["image"]
        with self._lock:
            running = [found for found in self._pods.values() if not found.ended.is_set()]
            if len(running) >= self._most_pods:
                return _status(
                    403, f"exceeded quota: boxes, requested: pods=1, limited: pods={self._most_pods}"
                )
            self._pods[namespace, place["name"]] = LocalPod(pod, self._images.get(image))
        return 201, pod

    def _list(self, namespace: str, selector: str) -> Reply:
        wanted = dict(pair.split("=", 1) for pair in selector.split(",") if pair)
        with self._lock:
            pods = [found.pod for (space, _), found in self._pods.items() if space == namespace]
        items = [pod for pod in pods if wanted.items() <= (pod["metadata"].get("labels") or {}).items()]
        return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}

    def _one(self, method: str, key: tuple[str, str], rest: Sequence[str]) -> Reply:
        with self._lock:
            found = self._pods.get(key)
            if found is not None and method == "DELETE":
                del self._pods[key]
        if found is None:
            return _status(404, f'pods "{key[1]}" not found')
        if method == "DELETE":
            found.end("deleted")
        return (200, found.log) if rest == ["log"] else (200, found.pod)


class _Handler(BaseHTTPRequestHandler):
    """HTTP to and from LocalCluster.answer."""

    owner: LocalCluster
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        status, reply = self.owner.answer(self.command, self.path, body)
        data = reply.encode() if isinstance(reply, str) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(reply, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def _verb(method: str, rest: Sequence[str]) -> str:
    return {"POST": "create", "DELETE": "delete"}.get(method, "get" if rest else "list")


def _status(code: int, message: str) -> Reply:
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}


def main(arguments: Sequence[str]) -> None:
    """The overlay `local`, with all images there are."""

    documents = render(ROOT / "overlays" / "local", find_renderer())
    pods = pods_of([found for found in documents if found["kind"] == "PodTemplate"])
    images = {box["image"]: "bare" not in box["image"] for pod in pods for box in pod.containers}
    owner = {"namespace": SANDBOX, "owner": "sandbox-service", "template": "sandbox-service"}
    with LocalCluster(documents, images) as cluster:
        boxes = owner | {"bare_template": "sandbox-service-bare", "api_url": cluster.url}
        Path(arguments[0]).write_text(json.dumps(boxes) + "\n", encoding="utf-8")
        print(f"boxes are pods at {cluster.url}: RATCHET_BOXES={arguments[0]}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
