"""OpenEvolve (package openevolve): its prompt with the present program, its metrics and what attempts gave,
and its search-and-replace blocks, for the scaffold's code. Its islands and evaluator are not used: what
is kept is the gate's decision.
"""

from __future__ import annotations

from openevolve.config import PromptConfig
from openevolve.prompt.sampler import PromptSampler
from openevolve.utils.code_utils import extract_diffs

from feedback_service.propose.advisor.prompt import Question, last_reply
from feedback_service.propose.advisor.reading import Read
from shared.harness.bundle import SCAFFOLD
from shared.messages.proposals import Edit
from shared.messages.records import public_view

MOST_CHARS = 2000  # of a trace


def messages(question: Question) -> list[dict[str, str]]:
    scaffold = question.files[SCAFFOLD].decode()
    shape = question.diagnosis.shape
    prompt = PromptSampler(PromptConfig()).build_prompt(
        current_program=scaffold,
        parent_program=scaffold,
        program_metrics={"combined_score": shape.mean, "failing": question.diagnosis.failing},
        previous_programs=[
            {"id": str(past.number), "code": "", "metrics": {"combined_score": past.train.mean}}
            for past in question.past
            if past.train
        ],
        program_artifacts={
            f"{trace.label} ({trace.why})": _harmless(
                f"instance: {public_view(trace.attempt.plan.instance)}\nreply: {last_reply(trace)}\n"
                f"score: {trace.score}\n{trace.attempt.error}"
            )
            for trace in question.chosen
        },
        language="python",
        evolution_round=question.number,
    )
    return [
        {"role": "system", "content": prompt["system"]},
        {"role": "user", "content": prompt["user"]},
    ]


def read(text: str, question: Question) -> Read:
    found = Read(reason=f"OpenEvolve changed the scaffold after {len(question.chosen)} attempts")
    try:
        diffs = extract_diffs(text)
    except ValueError as error:
        found.fault = f"its search-and-replace blocks can't be read: {error}"
        return found
    if not diffs:
        found.fault = "there is no search-and-replace block in it"
    found.edits = [Edit(kind="replace_text", path=SCAFFOLD, old=old, new=new) for old, new in diffs]
    return found


def _harmless(text: str) -> str:
    """Cut, and without the fences that OpenEvolve's prompt quotes it in."""
    return text[:MOST_CHARS].replace("```", "'''")
