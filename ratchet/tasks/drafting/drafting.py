"""The first harness of a task that is described in words: a template by the shape of its answers, and drafts
of a language model where there is one. Each is run on train rows through a run's own parts; the best stays.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ratchet.tasks.attempt_check import Trial
from ratchet.tasks.drafting.drafts import SYSTEM, Draft, Files, ask
from ratchet.tasks.drafting.shapes import Shape
from shared.config.settings import EndpointSection, RunConfig
from shared.errors import RatchetError
from shared.harness.bundle import KNOBS, with_knobs
from shared.harness.folder import read_harness
from shared.harness.steps import ScaffoldFailed
from shared.messages.records import Cost, JsonObject, derive_seed
from shared.model.client import Chat
from shared.model.opening import open_chat
from shared.model.wire import SampleRequest
from shared.store.store import LocalStore
from shared.tasks.draws import draw
from shared.tasks.task import load_task

TRIED = 8  # train rows that each draft answers
READ_BACK = 6  # train rows whose right answers a draft must be able to read
TEMPLATE = "the template"


@dataclass(frozen=True)
class Tried:
    """`score`: mean over the rows with the model's replies; None: there is no model."""

    draft: Draft
    reads_back: float  # mean score when the model's reply is the right answer
    score: float | None
    failed: str = ""

    @property
    def line(self) -> str:
        if self.failed or not self.draft.files:
            return f"  {self.draft.name}: left out: {self.failed or self.draft.fault}"
        score = "" if self.score is None else f", scores {self.score:.2f} on {TRIED} train rows"
        note = f" ({self.draft.fault})" if self.draft.fault else ""
        return f"  {self.draft.name}: reads right answers {self.reads_back:.0%}{score}{note}"


def by_shape(harness: Path, description: str, shape: Shape) -> None:
    """The template's texts and knobs for that shape of answers."""
    files = with_knobs(read_harness(harness), {"read": shape.kind})
    (harness / KNOBS).write_bytes(files[KNOBS])
    (harness / SYSTEM).write_text(f"{description.strip()}\n{shape.asks_for}\n", encoding="utf-8")


def draft_harness(
    folder: Path,
    description: str,
    shape: Shape,
    pairs: Sequence[tuple[str, str]],
    config: RunConfig,
) -> list[str]:
    """Writes the best draft into the task's folder; returns lines about what was tried. `pairs`: of train."""
    template = read_harness(folder / "harness")
    with ExitStack() as stack:
        store = LocalStore(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        drafts, cost = [Draft(TEMPLATE, template)], Cost()
        player: _Player | None = None
        if config.advisor.url:
            advisor = stack.enter_context(
                closing(open_chat(config.advisor, store, concurrency=config.advisor.drafts))
            )
            more, cost = ask(advisor, config.advisor, description, shape, pairs, template)
            drafts += more
            section: EndpointSection = config.model if config.model.url else config.advisor
            player = _Player(
                stack.enter_context(closing(open_chat(section, store, concurrency=4))), section.name
            )
        tried = [_try(folder, draft, pairs, player) for draft in drafts]
        best = max(tried, key=_rank)
        _write(folder / "harness", best.draft.files)
        cost += player.cost if player else Cost()
    spent = cost.prompt_tokens + cost.completion_tokens
    used = f"; {spent} tokens were used" if spent else ""
    return [*(one.line for one in tried), f"  kept: {best.draft.name}{used}"]


def _rank(tried: Tried) -> tuple[float, float]:
    """The first of equals stays: the template is the first."""
    if tried.failed or not tried.draft.files:
        return (-math.inf, -math.inf)
    return (tried.score if tried.score is not None else 0.0, tried.reads_back)


class _Player:
    """The model's replies to a scaffold's requests."""

    def __init__(self, chat: Chat, name: str) -> None:
        self.chat, self.name, self.cost = chat, name, Cost()

    def replies(self, request: JsonObject, seed: int) -> list[str]:
        sampled = self.chat.sample(
            [
                SampleRequest(
                    model=self.name,
                    messages=request["messages"],
                    seed=seed,
                    max_tokens=request["max_tokens"],
                    n=request["n"],
                    temperature=request["temperature"],
                    schema=request.get("schema"),
                )
            ]
        )
        self.cost += sampled.cost
        return [sample.text for sample in sampled.replies[0].samples] or [""] * int(request["n"])


def _try(folder: Path, draft: Draft, pairs: Sequence[tuple[str, str]], player: _Player | None) -> Tried:
    if not draft.files:
        return Tried(draft, 0.0, None)
    _write(folder / "harness", draft.files)
    task, right = load_task(str(folder)), dict(pairs)
    instances = draw(task, "train", TRIED + READ_BACK, 0)
    try:
        with Trial(task) as trial:
            known = [(one, [right[one["input"]]]) for one in instances[:READ_BACK]]
            back = [trial.attempt(one, replies).score for one, replies in known]
            scores = []
            if player is not None:
                for one in instances[READ_BACK:] or instances:
                    seed = derive_seed("draft", str(one["id"]))
                    answer = partial(player.replies, seed=seed)
                    scores.append(trial.attempt_by(one, answer).score)
    except (RatchetError, ScaffoldFailed) as error:
        return Tried(draft, 0.0, None, failed=error.message)
    mean = math.fsum(scores) / len(scores) if scores else None
    return Tried(draft, math.fsum(back) / len(back) if back else 0.0, mean)


def _write(harness: Path, files: Files) -> None:
    for name, data in files.items():
        (harness / name).parent.mkdir(parents=True, exist_ok=True)
        (harness / name).write_bytes(data)
