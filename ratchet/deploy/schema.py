"""Strict validation of every document against Kubernetes' own schemas, offline: unknown fields and wrong
types.

A kind without a schema (a custom resource) is a finding too: nothing here uses one, so it would be a mistake.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache

from ratchet.deploy.manifests import name_of
from shared.errors import ToolMissingError
from shared.messages.records import JsonObject

VERSIONS = ("1.31", "1.37")  # the oldest that has all fields we use, and the newest with schemas here


def faults(documents: Sequence[JsonObject]) -> Iterator[str]:
    """What the schemas refuse; nothing where all is well. Raises ToolMissingError."""
    for document in documents:
        yield from _faults_of(json.dumps(document, sort_keys=True))


@lru_cache(maxsize=1024)  # overlays have most documents in common
def _faults_of(text: str) -> tuple[str, ...]:
    try:
        import kubernetes_validate as schemas
    except ImportError:
        hint = "pip install 'ratchet-sia[deploy]'"
        raise ToolMissingError("kubernetes-validate is not installed", hint) from None
    document, found = json.loads(text), []
    for version in VERSIONS:
        try:
            schemas.validate(document, version, strict=True)
        except schemas.ValidationError as error:
            place = ".".join(str(part) for part in error.path)
            found.append(f"{name_of(document)} (Kubernetes {version}): {place}: {error.message[:300]}")
        except schemas.SchemaNotFoundError as error:
            found.append(f"{name_of(document)}: {error.message}")
    return tuple(found)
