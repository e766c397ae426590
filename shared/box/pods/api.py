"""The few calls to Kubernetes that boxes need, as plain JSON: the only file that imports the `kubernetes`
client.

What the API server refuses or does not answer is a BoxError: infrastructure, never a program's fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from shared.errors import BoxError, BoxNotWholeError, ToolMissingError
from shared.messages.records import JsonObject

TIMEOUT_S = (5.0, 30.0)  # to connect, to answer


class PodApi:
    """Pods of one namespace. `url`: an API server without authentication (tests); empty: the cluster we
    run in."""

    def __init__(self, namespace: str, url: str = "") -> None:
        try:
            from kubernetes import client, config
        except ImportError:
            hint = "pip install 'ratchet-sia[k8s]'"
            raise ToolMissingError(
                "boxes are to be pods, and the kubernetes client is missing", hint
            ) from None
        settings = client.Configuration()
        if url:
            settings.host = url
        else:
            try:
                config.load_incluster_config(client_configuration=settings)
            except config.ConfigException as error:
                hint = "run it in a pod whose account has the Role makes-boxes"
                raise BoxNotWholeError(f"boxes are to be pods, and this is no pod: {error}", hint) from None
        settings.retries = False  # the caller knows what may be tried again
        self.address: str = settings.host
        self._namespace = namespace
        self._core: Any = client.CoreV1Api(client.ApiClient(settings))

    def template(self, name: str) -> JsonObject:
        """A PodTemplate's template."""
        found = _ask(
            f"read the pod template {name}", self._core.read_namespaced_pod_template, name, self._namespace
        )
        template: JsonObject = found["template"]
        return template

    def create(self, pod: JsonObject) -> JsonObject:
        made: JsonObject = _ask("make a pod", self._core.create_namespaced_pod, self._namespace, pod)
        return made

    def get(self, name: str) -> JsonObject | None:
        """None: it is gone."""
        try:
            found: JsonObject = _ask(
                f"look at pod {name}", self._core.read_namespaced_pod, name, self._namespace
            )
        except PodGoneError:
            return None
        return found

    def list(self, selector: str) -> list[JsonObject]:
        call = self._core.list_namespaced_pod
        found = _ask("list pods", call, self._namespace, label_selector=selector)
        items: list[JsonObject] = found["items"]
        return items

    def log(self, name: str) -> str:
        """The end of the log of a pod's runner; empty where it can't be read."""
        try:
            call = self._core.read_namespaced_pod_log
            return str(_ask(f"read pod {name}'s log", call, name, self._namespace, tail_lines=20))
        except BoxError:
            return ""

    def delete(self, name: str) -> None:
        """At once; one that is gone already is no error."""
        call = self._core.delete_namespaced_pod
        try:
            _ask(f"delete pod {name}", call, name, self._namespace, grace_period_seconds=0)
        except PodGoneError:
            return


class PodGoneError(BoxError):
    """There is no such pod, or no longer."""


def _ask(what: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The answer as JSON, or as text where it is none."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        reply = call(*arguments, _preload_content=False, _request_timeout=TIMEOUT_S, **options)
    except ApiException as error:
        raise _refused(what, error.status, str(error.body or error.reason)) from None
    except (HTTPError, OSError) as error:
        raise BoxError(f"can't {what}: the API server does not answer: {error}") from error
    text = reply.data.decode(errors="replace")
    if reply.status >= 400:
        raise _refused(what, reply.status, text)
    return json.loads(text) if reply.headers.get("content-type", "").startswith("application/json") else text


def _refused(what: str, status: int, body: str) -> BoxError:
    try:
        reason = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        reason = body[:300]
    if status == 404:
        return PodGoneError(f"can't {what}: {reason}")
    hint = "is the Role makes-boxes bound to this account?" if status in (401, 403) else ""
    if "exceeded quota" in reason:
        hint = "fewer workers, or a larger ResourceQuota in the sandbox's namespace"
    return BoxError(f"can't {what}: {status}: {reason}", hint)
