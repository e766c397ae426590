"""What a run's train traces hold for another harness: replies by what was asked, scores by what was tried.

Of one attempt its own replies come first; the same question on the same instance in another attempt of the
generation was answered with another seed. Train traces alone: gate and test traces are evidence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.decisions.arms import instance_key
from shared.messages.records import AttemptState, Candidate, Evaluation, JsonObject, Sample, digest_of

Asked = dict[str, list[list[Sample]]]  # by question: the replies of each time that it was asked


@dataclass
class Traces:
    own: dict[int, Asked] = field(default_factory=dict)  # by the attempt's place
    others: dict[str, Asked] = field(default_factory=dict)  # by instance
    scores: dict[tuple[str, str], Evaluation] = field(default_factory=dict)  # by instance and candidate

    def replies(self, place: int, instance: str, entry: JsonObject, time: int) -> list[Sample] | None:
        """Of the question `entry`, asked for the `time`-th time; None: no trace holds so many."""
        question = question_of(entry)
        for asked in (self.own.get(place, {}), self.others.get(instance, {})):
            times = asked.get(question, [])
            if time < len(times) and len(times[time]) >= entry["n"]:
                return times[time][: entry["n"]]
        return None


def question_of(entry: JsonObject) -> str:
    """An entry of `ask`, however many replies it wants."""
    return digest_of({name: value for name, value in entry.items() if name != "n"})


def read_traces(attempts: Iterable[AttemptState]) -> Traces:
    found = Traces()
    for place, attempt in enumerate(attempts):
        instance = instance_key(attempt.plan.instance)
        own = found.own[place] = _asked(attempt)
        others = found.others.setdefault(instance, {})
        for question, times in own.items():
            others.setdefault(question, times)
        for candidate, evaluation in (*attempt.tried, *_final(attempt)):
            found.scores[instance, candidate.content] = evaluation  # the final one last: it is fresh
    return found


def _asked(attempt: AttemptState) -> Asked:
    found: defaultdict[str, list[list[Sample]]] = defaultdict(list)
    for turn in attempt.turns:
        left = list(turn.replies)
        for entry in turn.action.get("ask", ()):
            count = _count(entry)
            replies, left = left[:count], left[count:]
            found[question_of(entry)].append(replies)
    return dict(found)


def _count(entry: Mapping[str, object]) -> int:
    count = entry.get("n", 1)
    return count if isinstance(count, int) else 1


def _final(attempt: AttemptState) -> list[tuple[Candidate, Evaluation]]:
    if attempt.answer is None or attempt.final is None:
        return []
    return [(attempt.answer, attempt.final)]
