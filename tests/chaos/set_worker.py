"""One of eight processes of the set test: claims whatever is due, commits an effect that names its lease,
and writes down what was acknowledged. LEDGER_CLASS URL ACKS LEASE_S; it ends when no job is open.
"""

import os
import random
import sys
import time
from pathlib import Path

from shared.errors import LedgerError, LostLeaseError
from shared.ledger.ledger import Claim, Ledger
from shared.messages import events as e
from shared.messages.records import Release
from tests.chaos import unchecked

NONE = Release(base="endpoint:none", harness="none")
LONGEST_S = 0.4  # of a job: most faults meet one in progress
KINDS: dict[str, type[Ledger]] = {"Ledger": Ledger, "Unchecked": unchecked.Unchecked}


def main(kind: str, url: str, acks: Path, lease_s: float) -> None:
    ledger = KINDS[kind](url, lease_s=lease_s, max_attempts=1000)
    while True:
        try:
            due = ledger.due(limit=20)
            if not due and ledger.idle():
                return
            claim = ledger.claim(random.choice(due).job_id, str(os.getpid())) if due else None
        except LedgerError:
            claim = None
        if claim:
            work(ledger, claim, acks)
        else:
            time.sleep(0.02)


def work(ledger: Ledger, claim: Claim, acks: Path) -> None:
    time.sleep(random.random() * LONGEST_S)
    name = f"{claim.job_id} {claim.fence} {os.getpid()}"
    try:
        effect = e.ReleaseRejected(run_id=claim.event.run_id, release=NONE, evidence=None, why=name)
        ledger.commit(claim.job_id, claim.fence, [effect])  # for the log only: no further job
    except LostLeaseError:
        return  # refused: not there
    except LedgerError:
        return  # unknown: there or not
    with acks.open("a", encoding="utf-8") as file:  # a killed process leaves whole lines
        file.write(f"{name}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))
