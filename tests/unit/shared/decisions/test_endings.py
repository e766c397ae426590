"""The ends of replies, counted and in words."""

from shared.decisions.endings import count_endings, ending_of, endings_text
from shared.messages.records import AttemptPlan, AttemptState, Evaluation, Release, Sample, Turn

PLAN = AttemptPlan(
    attempt_id="a", instance={"id": "1"}, arm="base", release=Release(base="b", harness="h"), seed=0
)


def attempt(*endings: str, outcome: str = "ok") -> AttemptState:
    replies = tuple(Sample(text="x", finish_reason=ending) for ending in endings)
    final = Evaluation.model_validate({"outcome": outcome, "score": 0.0})
    return AttemptState(plan=PLAN, turns=(Turn(action={"ask": []}, replies=replies),), final=final)


def test_replies_are_counted_by_how_they_ended() -> None:
    counts = count_endings(
        [attempt("stop", "length", ""), attempt("reasoning", "SAFETY"), attempt(outcome="request_refused")]
    )
    expected = {"replies": 5, "cut_off": 1, "only_reasoning": 1, "content_filter": 1, "request_refused": 1}
    assert counts == expected
    assert endings_text(counts) == (
        "5 replies, 1 cut off by max_tokens, 1 held back by a content filter, "
        "1 all tokens spent on reasoning; 1 attempts with a request that the endpoint refused"
    )


def test_each_provider_has_its_own_names_for_an_ending() -> None:
    counts = count_endings(
        [
            attempt("MAX_TOKENS", "max_output_tokens", "token_limit", "content-filter", "RECITATION"),
            attempt("guardrail_intervened", "content_filter: SAFETY"),
        ]
    )
    assert counts == {"replies": 7, "cut_off": 3, "content_filter": 4}


def test_there_is_nothing_to_say_where_all_ended_by_themselves() -> None:
    assert endings_text(count_endings([attempt("stop", "eos", "")])) == ""


def test_an_attempts_ending_is_that_of_the_reply_its_candidate_was_made_from() -> None:
    two = attempt("length", "stop")
    assert ending_of(two, (0,)) == "cut_off"
    assert ending_of(two, (1,)) == ""
    assert ending_of(two, ()) == ""  # none is named: the last
    assert ending_of(attempt(), ()) == ""
