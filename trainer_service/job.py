"""One weight update by hand, without a run: `ratchet train JOB.json`.

    {"base": "models/smol", "algorithm": "supervised", "demonstrations": "right.json", "out": "adapters/one",
     "adapter": null, "samples": null, "seed": 0, "training": {"lora_rank": 16, "precision": "bfloat16"}}

Paths are relative to the job's file. `demonstrations` is a Demonstrations record, `samples` a JSON list of
TrainingSample; which of them is read depends on the algorithm. `training` takes the keys of the config's
section. A killed training resumes from its checkpoints in OUT.work, which is kept until it is done.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from pydantic import ValidationError

from shared.config.settings import TrainingSection
from shared.errors import RatchetError, SettingsError, TrainingError
from trainer_service.base.base import keep
from trainer_service.base.model_files import check_model_folder
from trainer_service.child import run_child
from trainer_service.publish import AS_SET, check_its_base
from trainer_service.recipe import read_size
from trainer_service.specs import Spec, TrainResult, TrainSpec


class Job(Spec):
    base: Path  # a folder in Hugging Face format
    algorithm: str
    out: Path  # becomes the adapter's folder; must not exist
    adapter: Path | None = None  # to start from; none: from zero
    samples: Path | None = None
    demonstrations: Path | None = None
    seed: int = 0
    training: TrainingSection = TrainingSection()


def main(arguments: list[str]) -> int:
    """`--prepare JOB` writes the spec alone, for a launcher of one's own (k8s/overlays/training)."""
    try:
        if arguments[0] == "--prepare":
            prepare(read_job(Path(arguments[1])))
            return 0
        result = run(read_job(Path(arguments[0])))
    except RatchetError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(result.model_dump_json(indent=2))
    return 0


def read_job(path: Path) -> Job:
    """Raises SettingsError that names the wrong keys."""
    try:
        job = Job.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise SettingsError(f"{path} is no job: {error}", "the keys stand in docs/weights.md") from error
    places = ("base", "adapter", "samples", "demonstrations", "out")
    named = {key: (path.parent / value).resolve() for key in places if (value := getattr(job, key))}
    return job.model_copy(update=named)


def prepare(job: Job) -> TrainSpec:
    """All that a training needs, in OUT.work. Raises SettingsError, ArtifactError."""
    if job.out.exists():
        raise SettingsError(f"{job.out} is there already", "an adapter is never overwritten: name another")
    check_model_folder(job.base)
    work = job.out.with_name(f"{job.out.name}.work")
    work.mkdir(parents=True, exist_ok=True)
    base = keep(job.base, work)  # its name is the digest that a run knows it by
    if job.adapter is not None:
        check_its_base(job.adapter, base.name)
    spec = spec_of(job, base, work)
    temporary = work / "spec.tmp"  # a node that waits for the spec reads it whole
    temporary.write_text(spec.model_dump_json(indent=1), encoding="utf-8")
    temporary.replace(work / "spec.json")
    return spec


def run(job: Job) -> TrainResult:
    """Raises SettingsError, ArtifactError, TrainingError; the adapter stands in job.out, or nothing does."""
    spec, training = prepare(job), job.training
    work = spec.result.parent
    run_child(
        "trainer_service.training.train",
        work / "spec.json",
        threads=training.threads,
        processes=training.processes,
        on_cpu=training.device == "cpu",
    )
    result = TrainResult.model_validate_json(spec.result.read_bytes())
    shutil.rmtree(work)
    if result.refusal:
        raise TrainingError(result.refusal)
    return result


def spec_of(job: Job, base: Path, work: Path) -> TrainSpec:
    training = job.training
    samples = work / "samples.json"
    samples.write_bytes(job.samples.read_bytes() if job.samples else b"[]")
    return TrainSpec(
        base=base,
        adapter=job.adapter,
        samples=samples,
        demonstrations=job.demonstrations,
        out=job.out,
        result=work / "result.json",
        checkpoints=work / "checkpoints",
        name_prefix=job.out.name,
        base_digest=base.name,
        algorithm=job.algorithm,
        steps=training.steps,
        learning_rate=training.learning_rate,
        kl_weight=training.kl_weight,
        max_tokens=training.max_tokens or read_size(job.base).context,
        threads=max(1, training.threads // training.processes),
        seed=job.seed,
        **training.model_dump(include=AS_SET),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
