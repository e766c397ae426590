"""An adapter is loaded only if its run's trainer signed just these files, and its weights are sound."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from agent_service.adapters import Adapters
from agent_service.provenance import check_folder, check_weights
from shared.errors import ArtifactError
from shared.messages.records import Release
from shared.store.signing import SIGNATURE, Origin, make_key, public_name, read_key, sign
from shared.store.store import LocalStore, get_bundle, list_bundle, put_bundle
from shared.store.trust import Trust
from tests.parts.endpoint import base_logprobs

KEY, OTHER_KEY = read_key(make_key()), read_key(make_key())
TRUST = Trust("run", public_name(KEY))
IDS = [5, 6, 7, 8]
CONFIG = {"r": 2, "target_modules": ["q_proj"]}
DOWN, UP = "base_model.model.l.q_proj.lora_A.weight", "base_model.model.l.q_proj.lora_B.weight"


def weights(**change: Any) -> dict[str, Any]:
    return {DOWN: np.ones((2, 4), "float32"), UP: np.ones((3, 2), "float32")} | change


def files(name: str = "run-g1-aa", norm: float = 0.1) -> dict[str, bytes]:
    base = base_logprobs(IDS)
    served = [value + 0.25 for value in base]
    mark = {"token_ids": IDS, "logprobs": served, "base_logprobs": base}
    card = {"name": name, "base": "basedigest", "fingerprint": mark, "norm": norm, "served": served}
    return {
        "ratchet.json": json.dumps(card).encode(),
        "adapter_config.json": json.dumps(CONFIG).encode(),
        "adapter_model.safetensors": save(weights()),
    }


def published(store: LocalStore, made: dict[str, bytes], run: str = "run", key: Any = KEY) -> Release:
    """As the trainer publishes it."""
    digests = list_bundle(store, put_bundle(store, made))
    signature = sign(digests, Origin(run, "basedigest"), key)
    return Release(base="basedigest", harness="h", adapter=put_bundle(store, made | {SIGNATURE: signature}))


def test_what_the_runs_trainer_signed_is_loaded(adapters: Adapters, store: LocalStore) -> None:
    release = published(store, files())
    assert adapters.ensure([release], TRUST)[release.digest].name == "run-g1-aa"


def test_another_key_another_run_or_no_signature_is_refused(adapters: Adapters, store: LocalStore) -> None:
    with pytest.raises(ArtifactError, match="signed with another key"):
        adapters.ensure([published(store, files(), key=OTHER_KEY)], TRUST)
    with pytest.raises(ArtifactError, match="signed for run other"):
        adapters.ensure([published(store, files(), run="other")], TRUST)
    unsigned = Release(base="basedigest", harness="h", adapter=put_bundle(store, files()))
    with pytest.raises(ArtifactError, match="not signed"):
        adapters.ensure([unsigned], TRUST)


def test_a_run_that_began_before_signing_loads_what_it_always_loaded(
    adapters: Adapters, store: LocalStore
) -> None:
    unsigned = Release(base="basedigest", harness="h", adapter=put_bundle(store, files()))
    assert adapters.ensure([unsigned], Trust("run", ""))


@pytest.mark.parametrize("name", [*files(), SIGNATURE])
def test_a_flipped_byte_in_any_file_of_the_store_or_of_the_unpacked_folder_is_refused(
    adapters: Adapters, store: LocalStore, tmp_path: Path, name: str
) -> None:
    release = published(store, files())
    assert release.adapter is not None
    digest = list_bundle(store, release.adapter)[name]
    path = store.root / "objects" / digest[:2] / digest
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
    with pytest.raises(ArtifactError, match="damaged"):
        adapters.ensure([release], TRUST)
    path.write_bytes(whole)

    unpacked = tmp_path / "cache" / "adapters" / release.adapter
    unpacked.mkdir(parents=True)
    for file, data in get_bundle(store, release.adapter).items():
        changed = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
        (unpacked / file).write_bytes(changed if file == name else data)
    with pytest.raises(ArtifactError, match="is not the file that was published"):
        adapters.ensure([release], TRUST)


def test_a_flipped_byte_in_the_manifest_is_refused(adapters: Adapters, store: LocalStore) -> None:
    release = published(store, files())
    assert release.adapter is not None
    path = store.root / "objects" / release.adapter[:2] / release.adapter
    path.write_bytes(path.read_bytes().replace(b"size_bytes", b"size_bytez", 1))
    with pytest.raises(ArtifactError, match="damaged"):
        adapters.ensure([release], TRUST)


def test_a_whole_bundle_with_other_weights_under_a_true_signature_is_refused(
    adapters: Adapters, store: LocalStore
) -> None:
    release = published(store, files())
    assert release.adapter is not None
    signature = store.get(list_bundle(store, release.adapter)[SIGNATURE])
    doubled = {"adapter_model.safetensors": save(weights(**{UP: weights()[UP] * 2}))}
    swapped = files() | doubled | {SIGNATURE: signature}
    forged = release.model_copy(update={"adapter": put_bundle(store, swapped)})
    with pytest.raises(ArtifactError, match=r"adapter_model.safetensors is not the one that was signed"):
        adapters.ensure([forged], TRUST)
    restated = json.loads(signature)
    restated["signed"]["files"] = {}
    forged = release.model_copy(
        update={"adapter": put_bundle(store, files() | {SIGNATURE: json.dumps(restated).encode()})}
    )
    with pytest.raises(ArtifactError, match="does not fit what it states"):
        adapters.ensure([forged], TRUST)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({UP: np.zeros((3, 2), "float32")}, "equals its base"),
        ({DOWN: np.full((2, 4), np.nan, "float32")}, "not finite"),
        ({DOWN: np.ones((1, 4), "float32")}, "not of rank 2"),
        ({UP: np.ones((3, 1), "float32")}, "not of rank 2"),
        ({"base_model.model.l.bias": np.ones(3, "float32")}, "no plain LoRA"),
        ({DOWN.replace("q_proj", "up"): np.ones((2, 4), "float32")}, "up, which its config does not name"),
    ],
)
def test_weights_that_are_no_sound_lora_are_refused(change: dict[str, Any], reason: str) -> None:
    check_weights(save(weights()), CONFIG)
    with pytest.raises(ArtifactError, match=reason):
        check_weights(save(weights(**change)), CONFIG)


def test_weights_that_can_not_be_read_or_are_too_large_are_refused(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="can't be read"):
        check_weights(save(weights())[:-8], CONFIG)
    digests = list_bundle(store, put_bundle(store, files()))
    for name, data in files().items():
        (tmp_path / name).write_bytes(data)
    check_folder(tmp_path, digests, norm=0.1)
    with pytest.raises(ArtifactError, match="6 times its base"):
        check_folder(tmp_path, digests, norm=6.0)
