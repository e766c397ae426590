"""The result of one attack, and the real evaluator that candidates of the corpus are given to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox_service.attacks.corpus import Attack
from sandbox_service.evaluate import Evaluator
from shared.messages.records import Block, CandidateBatch, Evaluation, JsonObject
from shared.store.store import LocalStore


@dataclass(frozen=True)
class Finding:
    """One attack: `layer` is what stops it, `saw` what it met, `kept` why it stays if naive withstood."""

    name: str
    kind: str
    tries: str
    naive_succeeded: bool
    contained: bool
    exploit: str = ""
    layer: str = ""
    saw: str = ""
    kept: str = ""

    @classmethod
    def of(cls, attack: Attack, naive_succeeded: bool, contained: bool, saw: str) -> Finding:
        return cls(
            attack.name,
            attack.kind,
            attack.tries,
            naive_succeeded,
            contained,
            attack.exploit,
            attack.layer,
            saw[:200],
            attack.kept,
        )


def evaluate(
    task: Path, instance: JsonObject, sources: Mapping[str, str], folder: Path
) -> dict[str, Evaluation]:
    """All sources as one block of the real evaluator; where one ends that, each by itself, as it is tried
    again in a run: what raises then is lost."""
    evaluator = Evaluator(LocalStore(folder / "store"), folder / "cache")

    def scores(entries: Mapping[str, str]) -> dict[str, Evaluation]:
        block = Block(instance=instance, entries=tuple(entries.items()))
        batch = CandidateBatch(task=str(task), check="public", fresh=True, blocks=(block,))
        return dict(zip(entries, evaluator.evaluate(batch).blocks[0], strict=True))

    def alone(name: str, source: str) -> Evaluation:
        try:
            return scores({name: source})[name]
        except Exception as error:  # an attack may have caused any error
            why = ascii(f"{type(error).__name__}: {error}")
            return Evaluation(outcome="lost", score=0.0, detail=why)

    try:
        return scores(sources)
    except Exception:
        return {name: alone(name, source) for name, source in sources.items()}
    finally:
        evaluator.close()


def seen(found: Evaluation) -> str:
    return f"{found.outcome}: {found.detail or f'score {found.score:.2f}'}".splitlines()[0]
