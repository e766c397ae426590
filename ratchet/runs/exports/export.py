"""Takes the winner out of a run: the live release's adapter and harness, and the best program found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ratchet.runs import findings
from ratchet.runs.exports.card import write_card
from ratchet.runs.folder import RunFolder
from shared.errors import SettingsError
from shared.ledger.history.folding import fold
from shared.messages.records import digest_of
from shared.store.store import Store, get_bundle, materialize
from shared.tasks.task import load_task


def export(folder: RunFolder, out: Path, with_base: bool = False) -> list[str]:
    """Write `out`; returns a line for each thing written. `with_base`: the base model, too. Raises
    SettingsError if it is there already."""
    if out.exists():
        raise SettingsError(f"{out} exists", "export never overwrites: name a new folder")
    store = folder.open_store()
    history = fold(folder.open_ledger().events(folder.run_id))
    if history.release is None:
        raise SettingsError(f"run {folder.run_id} has no release yet", "wait for its base model")
    temporary = out.with_name(f".{out.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    _unpack(store, history.release.harness, temporary / "harness")
    lines = [f"{out}/harness   {history.release.harness[:12]}"]
    if history.release.adapter:
        _unpack(store, history.release.adapter, temporary / "adapter")
        task = load_task(folder.config().run.task)
        card = write_card(history, history.release, store, task)
        (temporary / "adapter" / "README.md").write_text(card, encoding="utf-8")
        lines.append(f"{out}/adapter   {history.release.adapter[:12]} (PEFT layout, with a model card)")
    if with_base:
        lines.append(_export_base(store, history.release.base, temporary, out))
    best = findings.read(history, store).best
    if best:
        (temporary / "best_candidate").write_text(best.candidate.content, encoding="utf-8")
        (temporary / "best.json").write_text(
            json.dumps({"instance": best.instance, "evaluation": best.evaluation.model_dump()}, indent=2)
        )
        lines.append(f"{out}/best_candidate   {findings.describe(best)}")
    described = {"run": folder.run_id, "release": history.release.model_dump()}
    described["digest"] = digest_of(history.release.model_dump())
    (temporary / "release.json").write_text(json.dumps(described, indent=2), encoding="utf-8")
    temporary.rename(out)
    return lines


def _export_base(store: Store, base: str, temporary: Path, out: Path) -> str:
    """The very weights that the adapter was trained on, file by file. Raises SettingsError where an endpoint
    keeps them."""
    if base.startswith("endpoint:"):
        raise SettingsError("the run's base model is its endpoint's own", "export without --base")
    materialize(store, base, temporary).rename(temporary / "base")
    return f"{out}/base   {base[:12]} (Hugging Face format)"


def _unpack(store: Store, digest: str, folder: Path) -> None:
    for name, data in get_bundle(store, digest).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
