"""Whose adapters a run may load or train further, by the run's own log: those that its trainer signed, and
the one that came with a release of another run. The check itself is signing.py.

Only what is older than signing may be without a signature: an adapter of a run whose trainer announced no key
when the run began, nor when it published this one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from shared.messages.events import AdapterPublished, BaseReady, EvaluationRequested, Message, RunStarted


@dataclass(frozen=True)
class Trust:
    """Who must have signed an adapter. No signer: none is asked for."""

    run_id: str = ""
    signer: str = ""  # public key of the trainer, in hexadecimal
    others: dict[str, Trust] = field(default_factory=dict, hash=False)  # by adapter, where it is another's

    def of(self, adapter: str | None) -> Trust:
        """For this adapter alone."""
        return self.others.get(adapter or "", Trust(self.run_id, self.signer))


UNSIGNED = Trust()


def trust_of(run_id: str, log: Iterable[Message]) -> Trust:
    signer, others = "", {}
    for logged in log:
        match logged:
            case BaseReady() as event:
                signer = event.signer
            case AdapterPublished() as event:  # a run that starts from a release announces its key here alone
                others[event.adapter] = Trust(run_id, signer or event.signer)
            case EvaluationRequested(release=release) as event if release and release.adapter:
                others[release.adapter] = Trust(event.made_by, event.signer)
            case RunStarted(start=start) as event if start and start.adapter:
                others[start.adapter] = Trust(event.made_by, event.signer)
    return Trust(run_id, signer, others)
