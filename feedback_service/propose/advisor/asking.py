"""Asks the advisor: several drafts of one analysis for both levers, read part by part, ordered for the replay
on stored traces. It never sees gate or test instances.

An answer is data: bounded edits and numbers, which pass the same checks as the analyst's, and the gate. Where
nothing of it is usable the rules propose, with that reason. Replies are stored: a replay pays nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import mode

from feedback_service.propose.advisor.engines import Engine, find
from feedback_service.propose.advisor.prompt import Question
from feedback_service.propose.advisor.reading import MOST_CHARS, Read
from feedback_service.propose.moves import pin_moves
from shared.config.settings import AdvisorSection, BudgetSection
from shared.decisions.endings import WORDS, ending
from shared.errors import ChatError, ChatUnavailableError, ToolMissingError
from shared.harness.bundle import load_harness
from shared.ledger.spending import Counter
from shared.messages.analysis import Analysis, Draft, Finding, Learning
from shared.messages.proposals import Patch
from shared.messages.records import Cost
from shared.model.client import Chat, Reply, gathered
from shared.model.prices import most_of
from shared.model.spending import Spending
from shared.model.wire import SampleRequest
from shared.store.store import Store, put_json

SHARE = 0.1  # of what a budget has left, for the drafts of one generation beyond the first


@dataclass(frozen=True)
class Advice:
    """`patches`: those of the drafts that hold, the most promising first. `why`: where there is none."""

    patches: tuple[Patch, ...] = ()
    learning: Learning | None = None
    why: str = ""
    cost: Cost = field(default_factory=Cost)
    analysis: str = ""  # digest of Analysis


@dataclass(frozen=True)
class Checks:
    """What makes a patch and a weight update out of what was read, and adds to its `dropped`."""

    patch: Callable[[Read], Patch | None]
    learning: Callable[[Read], Learning | None]


@dataclass(frozen=True)
class Purse:
    """What may be spent, and by which job: what it paid counts once, also where it is done again."""

    budget: BudgetSection
    spent: Cost
    payer: str
    counter: Counter | None  # of the run's tokens and money


@dataclass
class _Drafted:
    found: Read
    text: str
    patch: Patch | None
    learning: Learning | None


def advise(
    chat: Chat,
    section: AdvisorSection,
    question: Question,
    checks: Checks,
    store: Store,
    purse: Purse,
    seed: int,
) -> Advice:
    """Raises no error of the endpoint: a run does not depend on its advisor."""
    try:
        engine = find(section.engine)
    except ToolMissingError as error:
        return Advice(why=str(error))
    request = SampleRequest(
        model=section.name,
        messages=engine.messages(question),
        seed=seed,
        max_tokens=section.max_tokens,
        temperature=section.temperature,
        schema=engine.schema,
    )

    def draft(answered: tuple[str, str]) -> _Drafted:
        return _draft(engine.read(answered[0], question), answered, checks)

    asked = _Asked(chat, purse)
    count = affordable(section.drafts, most_of(request, chat.price), purse)
    drafted = [draft(answered) for answered in asked.texts(request, count)]
    if not drafted and asked.refused and request.schema:  # it may be the schema, which the prompt words too
        request, why = replace(request, schema=None), asked.why
        drafted = [draft(answered) for answered in asked.texts(request, count)]
        asked.why = "" if drafted else why
    if drafted and not any(one.patch or one.learning for one in drafted):
        again = _again(request, drafted[0])
        drafted += [draft(answered) for answered in asked.texts(again, 1)]
    return _advice(drafted, question, asked, store, engine)


def affordable(drafts: int, most: Cost, purse: Purse) -> int:
    """How many drafts: as many as set, while all but the first cost no more than a tenth of what is left."""
    caps = {"usd": purse.budget.usd, "tokens": float(purse.budget.tokens)}
    spent = {
        "usd": purse.spent.usd,
        "tokens": float(purse.spent.prompt_tokens + purse.spent.completion_tokens),
    }
    one = {"usd": most.usd, "tokens": float(most.prompt_tokens + most.completion_tokens)}
    for name, cap in caps.items():
        if cap and one[name]:
            drafts = min(drafts, 1 + int(SHARE * max(0.0, cap - spent[name]) / one[name]))
    return max(1, drafts)


class _Asked:
    """Requests to the endpoint, with what they cost and why one failed. None begins once they have taken as
    long as one reply may, so that the job keeps its limit: a slow advisor is asked once, and what is still
    wanted of one that has answered is asked for when the job continues."""

    def __init__(self, chat: Chat, purse: Purse) -> None:
        self._chat, self._purse = chat, purse
        self._until_s = time.monotonic() + chat.timeout_s
        self.cost, self.why, self.refused = Cost(), "", False

    def texts(self, request: SampleRequest, count: int) -> list[tuple[str, str]]:
        """(text, how it ended) of each draft that was answered."""
        wanted = [replace(request, seed=request.seed + i) for i in range(count)]
        found: list[tuple[str, str]] = []
        purse = self._purse
        spending = Spending(purse.budget, purse.spent + self.cost, purse.counter)
        # A decision rests on failures too: they are kept for its replay.
        with self._chat.asking(purse.payer, spending, self._until_s, keeps_failures=True) as asking:
            why = ""
            for futures in [asking.ask(one) for one in wanted]:
                try:
                    found += self._texts(gathered(futures))
                except (ChatError, ChatUnavailableError) as error:  # the others may be answered, and are paid
                    why = why or f"the advisor can't be asked: {error.message}"
        self.why = why or self.why
        self.cost += asking.cost
        return found

    def _texts(self, reply: Reply) -> list[tuple[str, str]]:
        if reply.refused:
            self.why, self.refused = f"the advisor refuses: {reply.refused}", True
        return [(sample.text[-MOST_CHARS:], WORDS.get(ending(sample), "")) for sample in reply.samples]


def _draft(found: Read, answered: tuple[str, str], checks: Checks) -> _Drafted:
    text, ended = answered
    if found.fault and ended:
        found.fault += f" ({ended})"
    patch = None if found.fault else checks.patch(found)
    return _Drafted(found, text, patch, None if found.fault else checks.learning(found))


def _again(request: SampleRequest, draft: _Drafted) -> SampleRequest:
    why = draft.found.fault or "; ".join(f"{one.part}: {one.why}" for one in draft.found.dropped[:5])
    answer = f"That can't be used: {why or 'it proposes nothing'}. Answer again in the same form."
    messages = [
        *request.messages,
        {"role": "assistant", "content": draft.text[:8000]},
        {"role": "user", "content": answer},
    ]
    return replace(request, messages=messages)


def _advice(
    drafted: list[_Drafted], question: Question, asked: _Asked, store: Store, engine: Engine
) -> Advice:
    known = _knob_evidence(question)
    drafted = sorted(drafted, key=lambda one: -_promise(one, known))  # stable: equals stay as they came
    learning_of = _agreed([one.learning for one in drafted])
    why = asked.why or _why_nothing(drafted)
    analysis = Analysis(
        drafts=tuple(_recorded(one, store) for one in drafted),
        learning_of=learning_of,
        engine=engine.name,
        why=why if not any(one.patch for one in drafted) else "ordered by knob values that scored well",
    )
    patches = {patch.model_dump_json(exclude={"reason"}): patch for one in drafted if (patch := one.patch)}
    return Advice(
        patches=tuple(patches.values()),
        learning=None if learning_of is None else drafted[learning_of].learning,
        why=why,
        cost=asked.cost,
        analysis=put_json(store, analysis),
    )


def _knob_evidence(question: Question) -> dict[tuple[str, str], float]:
    """Knob values for which the train replies speak clearly (1), and the odds that trials gave others: from
    -1, surely a loss, to 1."""
    moves = pin_moves(load_harness(question.files), question.diagnosis)
    pinned = {(edit.path, repr(edit.new)): 1.0 for move in moves for edit in move.edits}
    levels = question.design.levels if question.design else ()
    tried = {
        (name, repr(value)): 2 * level.sure - 1 for level in levels for name, value in level.knobs.items()
    }
    return tried | pinned


def _promise(draft: _Drafted, known: dict[tuple[str, str], float]) -> float:
    """What is known of a draft before anything is tried: its knob values that the evidence favours."""
    if draft.patch is None:
        return -1.0
    return sum(known.get((edit.path, repr(edit.new)), 0.0) for edit in draft.patch.edits)


def _agreed(learnings: Sequence[Learning | None]) -> int | None:
    """The first draft of the algorithm that most drafts name. A weight update can't be replayed: that drafts
    agree is all that is known of it beforehand."""
    named = [(place, one.algorithm) for place, one in enumerate(learnings) if one is not None]
    if not named:
        return None
    most = mode(algorithm for _, algorithm in named)
    return next(place for place, algorithm in named if algorithm == most)


def _recorded(draft: _Drafted, store: Store) -> Draft:
    return Draft(
        reply=put_json(store, draft.text),
        findings=tuple(Finding(what=one.what, evidence=one.evidence) for one in draft.found.findings),
        patch=put_json(store, draft.patch) if draft.patch else "",
        learning=draft.learning,
        notes=draft.found.notes,
        dropped=tuple(draft.found.dropped),
        fault=draft.found.fault,
    )


def _why_nothing(drafted: Sequence[_Drafted]) -> str:
    if any(one.patch for one in drafted):
        return ""
    faults = [
        one.found.fault or "; ".join(f"{d.part}: {d.why}" for d in one.found.dropped) for one in drafted
    ]
    return f"the advisor's answer can't be used: {faults[-1] or 'it proposes no edit'}" if faults else ""
