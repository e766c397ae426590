"""A stack's metrics for Prometheus: numbers read from the ledger at each scrape, and arms' scores from the
store. Nothing is counted twice or lost with a process: the ledger is the only source. It changes nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.config.secrets import open_ledger, open_store
from shared.config.settings import StackSettings
from shared.errors import RatchetError
from shared.ledger.history.folding import apply
from shared.ledger.history.state import Generation, RunHistory
from shared.messages.events import JobDied
from shared.messages.evidence import GateRecord
from shared.messages.records import ARMS
from shared.messages.routes import SERVICES
from shared.store.store import get_record

SHOWN_S = 86_400.0  # so long after its end a run is still shown
_log = logging.getLogger(__name__)


@dataclass
class _Known:
    """A run as far as its log has been read."""

    history: RunHistory = field(default_factory=RunHistory)
    seen: int = 0
    deaths: Counter[str] = field(default_factory=Counter)  # by service


class StackCollector(Collector):
    """`up` is 0 where the ledger can't be read; the next scrape tries again."""

    def __init__(self, settings: StackSettings) -> None:
        self.settings = settings
        self.ledger = open_ledger(settings)
        self._runs: dict[str, _Known] = {}
        self._old: set[str] = set()
        self._records: dict[str, GateRecord] = {}
        self._lock = threading.Lock()

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            found: list[Metric] = []
            try:
                found = [*self._whole(), *self._of_runs()]
            except RatchetError as error:
                _log.warning("no metrics this time: %s", error)
            yield _gauge("ratchet_up", "Can the ledger be read?", [((), float(bool(found)))])
            yield from found
            self._forget()

    def _whole(self) -> Iterator[Metric]:
        """Reads on what is new, too."""
        states = self.ledger.run_states(self.settings.queue_prefix)
        counts = dict.fromkeys(("running", "done", "failed", "stopped", "budget", "cancelled"), 0)
        for run, state in states.items():
            counts[state] = counts.get(state, 0) + 1
            self._read(run, state)
        rows = [((state,), n) for state, n in counts.items()]
        yield _gauge("ratchet_runs", "Runs in the ledger.", rows, "state")
        ages = [((service,), age_s) for service, age_s in self.ledger.oldest_ready_s().items()]
        text = "How long the oldest job that could be taken has waited; 0: none waits."
        yield _gauge("ratchet_oldest_ready_job_age_seconds", text, ages, "service")
        jobs = [
            ((run, service, state), n)
            for run in self._runs
            for (service, state), n in self.ledger.jobs(run).items()
        ]
        yield _gauge("ratchet_jobs", "Jobs by what has become of them.", jobs, "run", "service", "state")

    def _read(self, run: str, state: str) -> None:
        if run in self._old:
            return
        known = self._runs.get(run, _Known())
        if not known.seen and state != "running" and self.ledger.last_said_at(run) < time.time() - SHOWN_S:
            self._old.add(run)
            return
        for logged in self.ledger.events(run, after=known.seen):
            apply(known.history, logged.event, logged.at)
            known.seen = logged.seq
            if isinstance(logged.event, JobDied):
                known.deaths[logged.event.service] += 1
        self._runs[run] = known

    def _of_runs(self) -> Iterator[Metric]:
        runs = {run: known.history for run, known in self._runs.items()}
        yield from _courses(runs)
        yield from _costs(runs)
        deaths = [((run, s), known.deaths[s]) for run, known in self._runs.items() for s in SERVICES]
        yield _counter("ratchet_jobs_died", "Dead jobs.", deaths, "run", "service")
        records, whole = self._gates(runs)
        yield _gauge("ratchet_store_up", "Can the gates' evidence be read?", [((), float(whole))])
        yield from _scores(records)

    def _gates(self, runs: dict[str, RunHistory]) -> tuple[dict[str, GateRecord], bool]:
        """The latest evidence of each run, and whether all could be read."""
        found: dict[str, GateRecord] = {}
        for run, history in runs.items():
            digests = [generation.evidence for generation in history.generations if generation.evidence]
            try:
                if digests:
                    found[run] = self._record(digests[-1])
            except RatchetError as error:  # an unreachable one is asked once
                _log.warning("no scores this time: %s", error)
                return found, False
        return found, True

    def _record(self, digest: str) -> GateRecord:
        if digest not in self._records:
            self._records[digest] = get_record(open_store(self.settings), digest, GateRecord)
        return self._records[digest]

    def _forget(self) -> None:
        """Runs that ended long ago."""
        for run, known in list(self._runs.items()):
            if known.history.finished and known.history.last_at < time.time() - SHOWN_S:
                del self._runs[run]
                self._old.add(run)


def _courses(runs: dict[str, RunHistory]) -> Iterator[Metric]:
    numbers = [
        ((run,), history.generations[-1].number if history.generations else 0)
        for run, history in runs.items()
    ]
    yield _gauge("ratchet_generation", "The generation that a run is in.", numbers, "run")
    decided = [(run, generation) for run, history in runs.items() for generation in history.generations]
    promoted = [((run, arm), int(g.arm == arm)) for run, g in decided for arm in ARMS if arm != "base"]
    yield _counter("ratchet_promotions", "Releases promoted.", _summed(promoted), "run", "arm")
    rejected = [((run,), int(g.decision == "rejected")) for run, g in decided]
    yield _counter("ratchet_rejections", "Generations without a promotion.", _summed(rejected), "run")
    yield _counter(
        "ratchet_proposals_refused",
        "Proposals that came to nothing.",
        _summed(_refused(decided)),
        "run",
        "lever",
    )
    reloads = [
        ((run, part.removesuffix("_ms")), ms / 1000)
        for run, history in runs.items()
        if history.promotions
        for part, ms in history.promotions[-1].reload.items()
    ]
    text = "From the last promotion's commit to its first use."
    yield _gauge("ratchet_reload_seconds", text, reloads, "run", "part")


def _refused(decided: list[tuple[str, Generation]]) -> list[tuple[tuple[str, ...], float]]:
    return [
        ((run, lever), int(bool(proposal and proposal.refused)))
        for run, generation in decided
        for lever, proposal in (("harness", generation.harness), ("weights", generation.weights))
    ]


def _costs(runs: dict[str, RunHistory]) -> Iterator[Metric]:
    costs = [(run, history.cost) for run, history in runs.items()]
    evaluations = [((run,), cost.evaluations) for run, cost in costs]
    yield _counter("ratchet_evaluations", "Candidates evaluated.", evaluations, "run")
    tokens = [((run, "prompt"), cost.prompt_tokens) for run, cost in costs]
    tokens += [((run, "completion"), cost.completion_tokens) for run, cost in costs]
    yield _counter("ratchet_tokens", "Tokens paid for.", tokens, "run", "kind")
    for name, text in (
        ("gpu", "Time on GPUs."),
        ("train", "Time of training."),
        ("box", "Time of compiling, running and timing candidates."),
        ("model", "Time of waiting for the model endpoint."),
    ):
        spent = [((run,), getattr(cost, f"{name}_s")) for run, cost in costs]
        yield _counter(f"ratchet_{name}_seconds", text, spent, "run")
    yield _counter("ratchet_cost_usd", "Money paid.", [((run,), cost.usd) for run, cost in costs], "run")


def _scores(records: dict[str, GateRecord]) -> Iterator[Metric]:
    """Of the last generation that has them. An arm that was not measured has no sample."""
    intervals = [
        (run, arm, result.interval)
        for run, record in records.items()
        for arm in ARMS
        if (result := record.screen.get(arm)) and result.interval
    ]
    for part in ("mean", "low", "high"):
        name = "ratchet_arm_score" + ("" if part == "mean" else f"_{part}")
        rows = [((run, arm), getattr(interval, part)) for run, arm, interval in intervals]
        known = [row for row in rows if row[1] is not None]
        yield _gauge(name, f"Screen score of an arm: {part}, in units of the score.", known, "run", "arm")
    e_values = [((run,), record.e_value) for run, record in records.items() if record.e_value is not None]
    yield _gauge("ratchet_gate_e_value", "Of the last confirmation.", e_values, "run")


Rows = Iterable[tuple[tuple[str, ...], float]]


def _summed(rows: Rows) -> Rows:
    sums: dict[tuple[str, ...], float] = {}
    for labels, value in rows:
        sums[labels] = sums.get(labels, 0) + value
    return list(sums.items())


def _gauge(name: str, text: str, rows: Rows, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=labels), rows)


def _counter(name: str, text: str, rows: Rows, *labels: str) -> Metric:
    """Its samples end in _total."""
    return _filled(CounterMetricFamily(name, text, labels=labels), rows)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, rows: Rows) -> Metric:
    for labels, value in rows:
        family.add_metric(labels, value)
    return family
