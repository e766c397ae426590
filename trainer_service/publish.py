"""A weight update from its message to a published adapter: the job's folder, the child, the bundle. Light.

cache_dir/training/<message digest>/ holds spec, samples, checkpoints, log, adapter and result. The same
message finds it again: it resumes a training that was killed and does not repeat one that is done.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

from Crypto.PublicKey.ECC import EccKey

from shared.config.settings import RunConfig, TrainingSection
from shared.errors import ArtifactError, TrainingError
from shared.messages.events import WeightUpdateProposed
from shared.messages.proposals import Demonstrations, WeightUpdate
from shared.messages.records import JsonObject
from shared.store.signing import SIGNATURE, Origin, check_signature, sign
from shared.store.store import Store, get_record, list_bundle, materialize, put_bundle, read_folder
from shared.store.trust import Trust
from trainer_service.algorithms import find
from trainer_service.batch import read_samples, teaching, within_limit
from trainer_service.child import run_child
from trainer_service.recipe import read_size
from trainer_service.specs import TrainingSample, TrainResult, TrainSpec

AS_SET = {  # what a spec takes over from the config as it stands
    "batch",
    "gradient_checkpointing",
    "lora_rank",
    "lora_targets",
    "max_gap",
    "max_kl",
    "micro_tokens",
    "precision",
    "zero_stage",
}


def trained_adapter(
    event: WeightUpdateProposed, store: Store, cache_dir: Path, key: EccKey, trust: Trust
) -> tuple[str, TrainResult]:
    """The digest of the adapter's bundle. Raises TrainingError where it can't be made."""
    check_signed(event, store, trust)
    folder = cache_dir / "training" / event.digest
    config = get_record(store, event.config, RunConfig)
    settings = config.training
    spec = write_spec(event, settings, store, cache_dir, folder, config.model.chat_template)
    if not is_done(spec):
        run_child(
            "trainer_service.training.train",
            folder / "spec.json",
            threads=settings.threads,
            processes=settings.processes,
            on_cpu=settings.device == "cpu",
        )
    result = TrainResult.model_validate_json(spec.result.read_bytes())
    shutil.rmtree(spec.checkpoints, ignore_errors=True)
    if result.refusal:
        raise TrainingError(result.refusal)
    origin = Origin(event.run_id, event.release.base)
    return publish(read_folder(spec.out), origin, store, key), result


def publish(files: dict[str, bytes], origin: Origin, store: Store, key: EccKey) -> str:
    """Files first, the manifest that makes them an adapter last, with a signature over all of them."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return put_bundle(store, files | {SIGNATURE: sign(digests, origin, key)})


def check_signed(event: WeightUpdateProposed, store: Store, trust: Trust) -> None:
    """Raises ArtifactError where the adapter to start from is not signed by whom the run trusts for it. Only
    one that is older than signing may be without a signature."""
    adapter = event.release.adapter
    by = trust.of(adapter)
    if adapter is None or not by.signer:
        return
    files = list_bundle(store, adapter)
    signature = files.pop(SIGNATURE, None)
    if signature is None:
        raise ArtifactError(
            f"adapter {adapter:.12} is not signed", "this run's trainer signs what it publishes"
        )
    check_signature(files, store.get(signature), Origin(by.run_id, event.release.base), by.signer)


def is_done(spec: TrainSpec) -> bool:
    """Whether the child finished: it refused, or the adapter is there (caches may be deleted in part)."""
    if not spec.result.exists():
        return False
    refused = TrainResult.model_validate_json(spec.result.read_bytes()).refusal
    return bool(refused) or (spec.out / "ratchet.json").exists()


def write_spec(
    event: WeightUpdateProposed,
    settings: TrainingSection,
    store: Store,
    cache_dir: Path,
    folder: Path,
    template: JsonObject | None = None,
) -> TrainSpec:
    """Everything that the child needs, in the job's folder. `template`: arguments of the chat template.
    Refuses before a process is started."""
    update = get_record(store, event.update, WeightUpdate)
    base, adapter = starting_point(event, store, cache_dir / "bundles")
    limit = min(settings.max_tokens or sys.maxsize, read_size(base).context)
    samples, demonstrations = what_teaches(update, store, limit)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "samples.json").write_text(
        json.dumps([sample.model_dump(mode="json") for sample in samples]), encoding="utf-8"
    )
    if demonstrations is not None:
        (folder / "demonstrations.json").write_text(demonstrations.model_dump_json(), encoding="utf-8")
    spec = TrainSpec(
        base=base,
        adapter=adapter,
        samples=folder / "samples.json",
        demonstrations=folder / "demonstrations.json" if demonstrations else None,
        chat_template=template or {},
        out=folder / "adapter",
        result=folder / "result.json",
        checkpoints=folder / "checkpoints",
        name_prefix=f"{event.run_id}-g{event.generation}",
        base_digest=event.release.base,
        algorithm=update.algorithm,
        steps=update.steps,
        learning_rate=update.learning_rate,
        kl_weight=update.kl_weight,
        max_tokens=limit,
        threads=max(1, settings.threads // settings.processes),
        seed=update.seed,
        **settings.model_dump(include=AS_SET),
    )
    (folder / "spec.json").write_text(spec.model_dump_json(indent=1), encoding="utf-8")
    return spec


def what_teaches(
    update: WeightUpdate, store: Store, limit: int
) -> tuple[list[TrainingSample], Demonstrations | None]:
    """Samples of attempts, or demonstrations. Raises TrainingError where neither teaches anything."""
    if find(update.algorithm).imitates:
        if not update.demonstrations:
            raise TrainingError(
                f"{update.algorithm} needs demonstrations, and this task offers none",
                "give its verifier answers(instance), or choose another training.algorithm",
            )
        return [], get_record(store, update.demonstrations, Demonstrations)
    samples = read_samples(store, update.shards)
    kept, _ = within_limit(samples, limit)
    teaching(kept, update.algorithm)
    return samples, None


def starting_point(event: WeightUpdateProposed, store: Store, bundles: Path) -> tuple[Path, Path | None]:
    """Folders of the release's base and adapter. Raises where the base is not ours, or they do not fit."""
    release = event.release
    if release.base.startswith("endpoint:"):
        raise TrainingError(
            f"the weights of {release.base} are not here",
            "set model.base to a folder, or run --levers harness",
        )
    base = materialize(store, release.base, bundles)
    if release.adapter is None:
        return base, None
    adapter = materialize(store, release.adapter, bundles)
    check_its_base(adapter, release.base)
    return base, adapter


def check_its_base(adapter: Path, base: str) -> None:
    """Raises ArtifactError where the adapter's folder belongs to another base, or does not name its base."""
    try:
        its_base = json.loads((adapter / "ratchet.json").read_bytes()).get("base")
    except (OSError, ValueError) as error:
        raise ArtifactError(f"adapter {adapter.name:.12} has no sound ratchet.json: {error}") from error
    if its_base != base:
        raise ArtifactError(f"adapter {adapter.name:.12} was trained on another base ({its_base!s:.12})")
