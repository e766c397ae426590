"""The Secrets that the manifests refer to, made anew with random passwords: `ratchet deploy --secrets`.
They are printed for `kubectl apply -f -` and kept nowhere; each password is one value in every place that
needs it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets

from shared.messages.records import JsonObject
from shared.store.signing import make_key

NAMESPACE = "ratchet"
SECRETS: dict[str, tuple[str, ...]] = {  # what exists, with its keys
    "ratchet": (
        "broker-password",
        "postgres-password",
        "s3-access-key",
        "s3-secret-key",
        "flower-password",
        "adapter-signing-key",
    ),
    "ratchet-broker": ("users.acl",),
    "ratchet-s3": ("s3.json",),
}
PASSWORD_BYTES = 24
# The queue needs lists, sets, hashes, publishing and INFO; not the administrator's commands. `probe` may say
# PING.
BROKER_ACL = """user default off
user ratchet on #{digest} ~ratchet:* &* +@all -@admin -@dangerous +info
user probe on #{probe} resetkeys resetchannels -@all +ping
"""


def make() -> list[JsonObject]:
    """Secret documents with fresh random values."""
    return [_secret(name, values) for name, values in _values().items()]


def make_env() -> str:
    """The same for compose.yaml: lines of a .env file."""
    values = {key: text for group in _values().values() for key, text in group.items()}
    lines = {
        "RATCHET_BROKER_PASSWORD": values["broker-password"],
        "RATCHET_POSTGRES_PASSWORD": values["postgres-password"],
        "RATCHET_S3_ACCESS_KEY": values["s3-access-key"],
        "RATCHET_S3_SECRET_KEY": values["s3-secret-key"],
        "RATCHET_FLOWER_PASSWORD": values["flower-password"],
        "RATCHET_SIGNING_KEY": values["adapter-signing-key"],
        "RATCHET_S3_JSON": f"'{values['s3.json']}'",
        "RATCHET_BROKER_ACL": json.dumps(values["users.acl"]),  # in double quotes \n is a new line
    }
    return "\n".join(f"{name}={value}" for name, value in lines.items())


def _values() -> dict[str, dict[str, str]]:
    broker, postgres, s3_secret, flower = (secrets.token_urlsafe(PASSWORD_BYTES) for _ in range(4))
    s3_access = f"ratchet-{secrets.token_hex(8)}"
    values = {
        "ratchet": (broker, postgres, s3_access, s3_secret, flower, make_key()),
        "ratchet-broker": (broker_acl(broker),),
        "ratchet-s3": (s3_identities(s3_access, s3_secret),),
    }
    return {name: dict(zip(keys, values[name], strict=True)) for name, keys in SECRETS.items()}


def broker_acl(password: str) -> str:
    """Valkey's users, by the digest of their passwords; the probe's is no secret."""
    return BROKER_ACL.format(digest=_sha256(password), probe=_sha256("probe"))


def s3_identities(access_key: str, secret_key: str) -> str:
    """SeaweedFS' users: one, who may do all with buckets and objects."""
    credentials = [{"accessKey": access_key, "secretKey": secret_key}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identities = [{"name": "ratchet", "credentials": credentials, "actions": actions}]
    return json.dumps({"identities": identities})


def _secret(name: str, values: dict[str, str]) -> JsonObject:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    place = {"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/part-of": "ratchet"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": place, "type": "Opaque", "data": data}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
