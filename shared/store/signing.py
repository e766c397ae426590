"""Signed bundles: an ed25519 signature over the digest of every file and over where the bundle comes from.
The private key is the trainer's alone; who loads a bundle knows the public one.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from Crypto.PublicKey import ECC
from Crypto.PublicKey.ECC import EccKey
from Crypto.Signature import eddsa

from shared.errors import ArtifactError, SettingsError
from shared.messages.records import canonical_json

SIGNATURE = "signature.json"


@dataclass(frozen=True)
class Origin:
    """Where an adapter comes from."""

    run_id: str
    base: str  # digest of its base model


def make_key() -> str:
    """A new private key, as text."""
    return base64.b64encode(ECC.generate(curve="ed25519").seed).decode()


def read_key(text: str) -> EccKey:
    """Raises SettingsError for what is no key."""
    try:
        return ECC.construct(curve="ed25519", seed=base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        hint = "`ratchet deploy --secrets` makes one: 32 random bytes in base64"
        raise SettingsError("the signing key of adapters is no ed25519 key", hint) from None


def public_name(key: EccKey) -> str:
    """The public key, in hexadecimal."""
    return key.public_key().export_key(format="raw").hex()


def sign(files: Mapping[str, str], origin: Origin, key: EccKey) -> bytes:
    """The content of signature.json, for files given by name and sha256."""
    signed = _statement(files, origin)
    proof = _scheme(key).sign(signed).hex()
    made = {"signed": json.loads(signed), "key": public_name(key), "signature": proof}
    return canonical_json(made)


def check_signature(files: Mapping[str, str], signature: bytes, origin: Origin, signer: str) -> None:
    """Raises ArtifactError with the reason, unless `signer` signed just these files as from there."""
    try:
        made = json.loads(signature)
        by, proof, signed = made["key"], bytes.fromhex(made["signature"]), made["signed"]
        verifier = _scheme(eddsa.import_public_key(bytes.fromhex(by)))
        its_origin, its_files = Origin(signed["run_id"], signed["base"]), signed["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"its {SIGNATURE} can't be read: {error}") from None
    try:
        verifier.verify(canonical_json(signed), proof)
    except ValueError:
        raise ArtifactError("its signature does not fit what it states") from None
    if by != signer:
        raise ArtifactError(f"it is signed with another key ({by:.12}) than this run's trainer has")
    if its_files != dict(files):
        differing = sorted(dict(files).items() ^ its_files.items())
        raise ArtifactError(f"its file {differing[0][0]} is not the one that was signed")
    if its_origin != origin:
        raise ArtifactError(
            f"it was signed for run {its_origin.run_id} on base {its_origin.base:.12}, "
            f"not for {origin.run_id} on {origin.base:.12}"
        )


def _scheme(key: EccKey) -> eddsa.EdDSASigScheme:
    """Ed25519 as in RFC 8032."""
    return eddsa.new(key, "rfc8032")


def _statement(files: Mapping[str, str], origin: Origin) -> bytes:
    return canonical_json({"files": dict(files), "run_id": origin.run_id, "base": origin.base})
