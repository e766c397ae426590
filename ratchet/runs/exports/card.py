"""The model card of an exported adapter: README.md with a head that model hubs read. It states what the run's
log and the adapter's own files say, and nothing else.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from shared.config.settings import RunConfig
from shared.ledger.history.state import RunHistory
from shared.messages.records import Release
from shared.store.store import Store, get_bundle, get_json, get_record
from shared.tasks.task import Task

TEMPLATE = Path(__file__).parent / "card.md.j2"
OF_HUB = {
    "smollm2": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")
}  # what a package's file was made of
BESIDE = "path/to/base"  # where `ratchet export --base` has put the weights
FACTS = ("algorithm", "steps", "batch", "learning_rate", "kl_weight", "precision", "seed", "norm")


def write_card(history: RunHistory, release: Release, store: Store, task: Task) -> str:
    import jinja2

    assert release.adapter is not None
    files = get_bundle(store, release.adapter)
    facts, config = json.loads(files["ratchet.json"]), json.loads(files["adapter_config.json"])
    settings = get_record(store, history.config, RunConfig)
    given = settings.model.base.partition("@")[0]  # a hub name without its revision
    base, _ = OF_HUB.get(given, (given, ""))
    test = get_json(store, history.test) if history.test and not history.evaluation else None
    template = jinja2.Template(
        TEMPLATE.read_text(encoding="utf-8"), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    text: str = template.render(
        head=yaml.safe_dump(head(facts["name"], given, task, test), sort_keys=False, allow_unicode=True),
        name=facts["name"],
        base=base,
        loads=given if is_loadable(given) else BESIDE,
        beside=BESIDE,
        task=task.name,
        run=history.run_id,
        test=test,
        unit=task.manifest.score.unit,
        interval=lambda found: f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]",
        facts={key: facts[key] for key in FACTS if key in facts} | {"LoRA rank": config["r"]},
        why=reason_of(history, release.adapter),
        rank=config["r"],
    )
    return text


def is_loadable(base: str) -> bool:
    """Whether libraries load it by that name: a folder, or a hub's id."""
    return Path(base).expanduser().is_dir() or ("/" in base and not base.lower().endswith(".gguf"))


def head(name: str, given: str, task: Task, test: dict[str, Any] | None) -> dict[str, Any]:
    """The card's metadata, as https://huggingface.co/docs/hub/model-cards lists it. `given`: model.base."""
    base, known = OF_HUB.get(given, (given, ""))
    found: dict[str, Any] = {"base_model": base, "library_name": "peft", "pipeline_tag": "text-generation"}
    found["tags"] = ["lora", "ratchet"]
    if licence := known or licence_of(given):
        found["license"] = licence
    if test:
        score = {"type": "score", "name": task.manifest.score.unit, "value": round(test["last"]["mean"], 4)}
        about = {"type": task.name, "name": f"{task.name}, sealed test split"}
        kind = {"type": "text-generation", "name": task.name}
        result = {"task": kind, "dataset": about, "metrics": [score]}
        found["model-index"] = [{"name": name, "results": [result]}]
    return found


def licence_of(base: str) -> str:
    """What the card of a base in a folder names, or a GGUF file itself; empty where it names none."""
    place = Path(base).expanduser()
    if place.suffix.lower() == ".gguf" and place.is_file() and find_spec("gguf"):
        return licence_in(place)
    card = place / "README.md"
    if not card.is_file():
        return ""
    parts = card.read_text(encoding="utf-8", errors="replace").split("---")
    try:
        named = yaml.safe_load(parts[1]) if len(parts) > 2 and not parts[0].strip() else {}
    except yaml.YAMLError:
        return ""
    return str(named.get("license", "")) if isinstance(named, dict) else ""


def licence_in(file: Path) -> str:
    """Of a GGUF file's own metadata."""
    from gguf import GGUFReader

    try:
        named = GGUFReader(file).get_field("general.license")
    except (ValueError, OSError, IndexError):  # it was converted once; what lies there now is another file
        return ""
    return str(named.contents()) if named else ""


def reason_of(history: RunHistory, adapter: str) -> str:
    """Why this adapter was trained, in the words of its proposal."""
    for generation in history.generations:
        if generation.weights and generation.weights.made == adapter:
            return f"Generation {generation.number}: {generation.weights.reason}."
    return ""
