"""Fallback for a batch that could not be evaluated: each candidate of each instance is evaluated by itself,
so that one that breaks its evaluation costs no other one its score, and a broken instance no other instance.

A candidate that fails alone, while a control on the same instance does not, is itself at fault: it gets the
lowest score. Where the control fails as well the instance is lost, which is never a score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared.errors import BoxError, RatchetError, VerifierError
from shared.messages.records import Evaluation, JsonObject

TRIES = 2
DETAIL_CHARS = 500
Run = Callable[[JsonObject, str], Evaluation]  # evaluates one candidate of an instance; raises where it can't


def may_be_a_candidates_doing(error: Exception, verifier_lives: bool) -> bool:
    """Whether a candidate may be the cause. True for a verifier that answers with an error; a missing tool or
    setting has nothing to do with candidates."""
    if isinstance(error, VerifierError):
        return not verifier_lives
    return isinstance(error, BoxError) or not isinstance(error, RatchetError | OSError)


def evaluate_apart(
    run: Run,
    blocks: Sequence[tuple[JsonObject, Sequence[str]]],
    control: Callable[[JsonObject], str],
    low: float,
) -> list[list[Evaluation]]:
    """One Evaluation a candidate, block by block. Raises where no candidate and no control of any block could
    be evaluated, and for a verifier that is broken for the control, too.
    """
    found: list[list[Evaluation]] = []
    worked, last = False, Exception()
    for instance, contents in blocks:
        tried = [_alone(run, instance, content) for content in contents]
        errors = [one for one in tried if isinstance(one, Exception)]
        held = _alone(run, instance, control(instance)) if errors else None
        if isinstance(held, VerifierError):
            raise held
        if isinstance(held, Exception):
            last = held
        worked = worked or last is not held or len(errors) < len(tried)
        found.append(
            [_evaluation_of(one, last is held, low) if isinstance(one, Exception) else one for one in tried]
        )
    if not worked:
        raise last
    return found


def _alone(run: Run, instance: JsonObject, content: str) -> Evaluation | Exception:
    error: Exception | None = None
    for _ in range(TRIES):
        try:
            return run(instance, content)
        except Exception as caught:  # a candidate may have caused any error
            error = caught
    assert error is not None
    return error


def _evaluation_of(error: Exception, ours: bool, low: float) -> Evaluation:
    why = (error.message if isinstance(error, RatchetError) else f"{type(error).__name__}: {error}")[
        :DETAIL_CHARS
    ]
    if ours:
        return Evaluation(
            outcome="lost", score=low, detail=f"nothing of this instance could be evaluated: {why}"
        )
    return Evaluation(outcome="crashed", score=low, detail=f"its evaluation broke, alone and twice: {why}")
