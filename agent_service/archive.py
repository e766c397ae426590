"""The archive of a run: what its past train attempts found, and which of it new attempts start from (PUCT).

Nothing is kept between jobs: the archive is folded from the event log's train shards each time. PUCT as in
TTT-Discover: score = Q + c * scale * P * sqrt(1 + T) / (1 + n). Q is a score less the ease of its instance:
else the archive would hold mostly candidates of easy instances.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from shared.decisions.evidence.ease import eases_of
from shared.messages.events import Message, ShardFinished
from shared.messages.records import UNSCORED, AttemptState, Candidate, Evaluation, Parent
from shared.store.shards import get_shard
from shared.store.store import Store

EXPLORATION = 1.0  # c
CHILDREN = 2  # candidates kept of those that started from the same parent
CAPACITY = 1000


@dataclass
class Archive:
    """`nodes` in order of arrival. A node's id is its attempt's."""

    nodes: dict[str, Parent] = field(default_factory=dict)
    worth: dict[str, float] = field(default_factory=dict)  # a node's score less its instance's ease
    parent_of: dict[str, str | None] = field(default_factory=dict)
    visits: Counter[str] = field(default_factory=Counter)  # attempts below a node, at any depth
    best_child: dict[str, float] = field(default_factory=dict)
    expansions: int = 0  # attempts that started from some node

    def add(self, attempt: AttemptState, low: float, ease: float = 0.0) -> None:
        """Count the attempt, and keep what it found if that is worth anything. `low`: a failure's score."""
        found = _best(attempt)
        start = attempt.plan.parent.node if attempt.plan.parent else None
        if start is not None:
            self.expansions += 1
            self.visits.update([start, *self.ancestors(start)])
            worth = found[1].score - ease if found else low
            self.best_child[start] = max(worth, self.best_child.get(start, -math.inf))
        if found and found[1].score > low:
            node = attempt.plan.attempt_id
            candidate, evaluation = found
            reply = attempt.replies[candidate.samples[0]].text if candidate.samples else ""
            self.parent_of[node] = start
            self.worth[node] = evaluation.score - ease
            self.nodes[node] = Parent(
                content=candidate.content,
                reply=reply,
                score=evaluation.score,
                node=node,
                metrics=evaluation.metrics,
            )

    def ancestors(self, node: str) -> Iterator[str]:
        """The node's parent, its parent, and so on."""
        above = self.parent_of.get(node)
        while above is not None:
            yield above
            above = self.parent_of.get(above)

    def kept(self) -> list[Parent]:
        """Best first: the best children of each parent, all that started from nothing, CAPACITY at most."""
        families: defaultdict[str | None, int] = defaultdict(int)
        kept = []
        for node in sorted(self.nodes.values(), key=lambda node: -self.worth[node.node]):
            family = self.parent_of[node.node]
            families[family] += 1
            if family is None or families[family] <= CHILDREN:
                kept.append(node)
        return kept[:CAPACITY]


def fold(events: Iterable[Message], store: Store, low: float) -> Archive:
    """The archive that the run's events so far amount to."""
    generations: defaultdict[int, list[AttemptState]] = defaultdict(list)
    for event in events:
        if isinstance(event, ShardFinished) and event.purpose == "train" and event.result:
            generations[event.generation].extend(get_shard(store, event.result).attempts)
    archive = Archive()
    for attempts in generations.values():
        eases = eases_of(attempts, lambda attempt: _scores(attempt, low))
        for attempt in attempts:
            archive.add(attempt, low, eases.get(attempt.plan.group, 0.0))
    return archive


def _scores(attempt: AttemptState, low: float) -> list[float]:
    """What the attempt came to; nothing where that is unknown."""
    if found := _best(attempt):
        return [found[1].score]
    return [low] if attempt.final is not None and attempt.final.outcome not in UNSCORED else []


def puct_scores(archive: Archive, kept: Sequence[Parent]) -> list[float]:
    """One score for each of `kept`, which is sorted best first."""
    if not kept:
        return []
    scale = archive.worth[kept[0].node] - archive.worth[kept[-1].node]
    total = len(kept) * (len(kept) + 1) / 2
    scores = []
    for rank, node in enumerate(kept):
        value = archive.best_child.get(node.node, archive.worth[node.node])
        prior = (len(kept) - rank) / total
        bonus = prior * math.sqrt(1 + archive.expansions) / (1 + archive.visits[node.node])
        scores.append(value + EXPLORATION * scale * bonus)
    return scores


def pick(archive: Archive, count: int) -> list[Parent]:
    """Up to `count` nodes to start from, best PUCT score first; of one lineage only one in a batch."""
    kept = archive.kept()
    scores = puct_scores(archive, kept)
    picked: list[Parent] = []
    for index in sorted(range(len(kept)), key=lambda index: -scores[index]):
        node = kept[index]
        if len(picked) < count and not any(_same_lineage(archive, node.node, other.node) for other in picked):
            picked.append(node)
    return picked


def _same_lineage(archive: Archive, one: str, other: str) -> bool:
    return one in archive.ancestors(other) or other in archive.ancestors(one)


def _best(attempt: AttemptState) -> tuple[Candidate, Evaluation] | None:
    """The attempt's best candidate that the verifier took."""
    scored = list(attempt.tried)
    if attempt.answer and attempt.final:
        scored.insert(0, (attempt.answer, attempt.final))
    good = [pair for pair in scored if pair[1].outcome == "ok"]
    return max(good, key=lambda pair: pair[1].score, default=None)
