"""Abnormal ends of a model's replies: cut off by max_tokens, held back by a content
filter, all tokens spent on reasoning. Such endings explain failures that are not the answer's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from shared.messages.records import AttemptState, Sample

NAMES = {  # of finish reasons in small letters
    "length": "cut_off",
    "max_tokens": "cut_off",
    "max_output_tokens": "cut_off",
    "model_length": "cut_off",
    "token_limit": "cut_off",
    "model_context_window_exceeded": "cut_off",
    "too_long": "cut_off",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "spii": "content_filter",
    "safety": "content_filter",
    "prohibited_content": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "sensitive": "content_filter",
    "refusal": "content_filter",
    "reasoning": "only_reasoning",
    "no_choice": "no_reply",
}
REFUSED = "request_refused"  # an Outcome, too
WORDS = {
    "cut_off": "cut off by max_tokens",
    "content_filter": "held back by a content filter",
    "only_reasoning": "all tokens spent on reasoning",
    "no_reply": "without a reply",
    REFUSED: "the endpoint refused the request",
}


def ending(sample: Sample) -> str:
    """Its name; empty: it ended normally."""
    reason, _, _ = sample.finish_reason.partition(":")  # Gemini's is `content_filter: SAFETY`
    return NAMES.get(reason.strip().lower().replace("-", "_"), "")


def ending_of(attempt: AttemptState, samples: Iterable[int]) -> str:
    """Of the reply that a candidate was made from; where none is named, of the attempt's last."""
    replies = attempt.replies
    named = [replies[index] for index in samples if 0 <= index < len(replies)] or list(replies[-1:])
    return next((name for sample in reversed(named) if (name := ending(sample))), "")


def count_endings(attempts: Iterable[AttemptState]) -> dict[str, int]:
    """How many replies ended in each way, and `replies`: of how many; a refused request counts as one."""
    counts: Counter[str] = Counter()
    for attempt in attempts:
        counts["replies"] += len(attempt.replies)
        counts.update(name for sample in attempt.replies if (name := ending(sample)))
        if attempt.final is not None and attempt.final.outcome == REFUSED:
            counts[REFUSED] += 1
    return dict(counts)


def endings_text(counts: dict[str, int]) -> str:
    """In words; empty where every reply ended by itself and no request was refused."""
    odd = [f"{counts[name]} {words}" for name, words in WORDS.items() if name != REFUSED and counts.get(name)]
    parts = [f"{counts.get('replies', 0)} replies, {', '.join(odd)}"] if odd else []
    if refused := counts.get(REFUSED, 0):
        parts.append(f"{refused} attempts with a request that the endpoint refused")
    return "; ".join(parts)
