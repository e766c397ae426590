"""Every error that crosses a module, in one tree. Each names the thing, the reason and a hint.

A candidate's failure is not here: it is data (records.Evaluation). These are for broken boxes, stores,
endpoints and settings: infrastructure, which is retried or reported, and never becomes a zero score.
"""

from __future__ import annotations


class RatchetError(Exception):
    """Root. `exit_code` is the command line's; `hint` is what the user can do."""

    exit_code = 1
    transient = False  # whether the bus may retry the job
    pauses = False  # whether it pauses the run, with the job ready again
    retry_after_s: float | None = None  # the server's Retry-After; None: none was sent

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class SettingsError(RatchetError):
    """A config key, a task name or a file that the user gave is wrong. Nothing has been started."""

    exit_code = 2


class TaskError(RatchetError):
    """A task folder is incomplete, or its verifier broke its contract."""

    exit_code = 2


class VerifierError(TaskError):
    """A task's verifier raised, ended its process, gave no answer in time or answered what is no score.
    Trying again gives the same, so the run ends here."""


class LostInstancesError(RatchetError):
    """An evaluation ended, but not all of its instances have a score."""


class DifferentDecisionError(RatchetError):
    """A decision that was derived again is not the stored one."""

    exit_code = 3


class DecodeError(RatchetError):
    """Bytes that are no known message or record (unknown tag, wrong shape). Never retried."""


class ArtifactError(RatchetError):
    """An object is missing, does not match its digest, or may not be loaded (NaN, shape, norm)."""


class StoreUnavailableError(RatchetError):
    """The store can't be read or written at present: full, unreachable, not permitted."""

    transient = True
    exit_code = 74


class StoreRefusedError(StoreUnavailableError):
    """The store denies access: wrong keys, no such bucket, no permission. At a start: a wrong setting."""

    exit_code = 2


class LedgerError(RatchetError):
    """The ledger can't be used: unknown run, unreachable database, full disk."""

    transient = True
    exit_code = 74


class LedgerRefusedError(LedgerError):
    """The database denies access: wrong password, database, schema or permission. At a start: a wrong
    setting; while jobs run it may be transient (a password is being changed)."""

    exit_code = 2


class JobHandedBackError(RatchetError):
    """A job stops before its time limit and is to continue later: what it waits for is slow. No failure."""

    transient = True


class LostLeaseError(RatchetError):
    """Another worker holds this job now; anything that this one still does must not count."""


class ChatError(RatchetError):
    """The endpoint refused the request for good (400, 401, 403, context too long, unknown model)."""


class RequestRefusedError(ChatError):
    """The endpoint refused what this one request holds (too long, a schema it can't read)."""


class EndpointBlockedError(ChatError):
    """The endpoint answers no request like this: key, account, address or model (401, 402, 403, 404).
    Any other request would fail too, so the run is paused until the user has removed the cause."""

    pauses = True
    exit_code = 75


class ForbiddenError(ChatError):
    """The endpoint forbids this (403): one prompt, one route, or everything; the caller tests which."""


class BudgetSpentError(ChatError):
    """A hard cap of the run leaves no room for another request."""


class UnknownModelError(ChatError):
    """The endpoint does not serve that model, or no longer: a restart loses adapters."""


class AdaptersUnsupportedError(ChatError):
    """The endpoint can't load adapters: only the harness lever works there."""


class ChatUnavailableError(RatchetError):
    """The endpoint can't answer now (connection refused, 429, 5xx, time-out). Retried later."""

    transient = True
    exit_code = 75
    of_request = False  # may this request alone be the cause? Not where the endpoint is unreachable or busy


class UnreachableError(ChatUnavailableError):
    """Nothing answers at the endpoint's address."""


class SlowReplyError(ChatUnavailableError):
    """The endpoint did not finish its answer within the section's timeout_s."""

    of_request = True


class UnusableReplyError(ChatUnavailableError):
    """The endpoint answered, and its answer is no completion."""

    of_request = True


class BoxError(RatchetError):
    """The box itself broke (bubblewrap would not start, a pipe was lost). Not the program's error."""

    transient = True


class BoxNotWholeError(RatchetError):
    """A layer of isolation is missing, so nothing untrusted may run here."""

    exit_code = 78


class ToolMissingError(RatchetError):
    """A program that this service needs (gcc, bubblewrap) is not installed."""

    exit_code = 69


class TrainingError(RatchetError):
    """Training can't give a sound adapter (NaN, explosion, nothing to learn from). Ends as data."""
