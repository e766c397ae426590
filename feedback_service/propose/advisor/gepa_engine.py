"""GEPA (arXiv 2507.19457, package gepa): its reflection on traces rewrites one prompt a generation, in turn,
as its own round robin does. Its search loop is not used: that would spend rollouts past our budget and gate.
"""

from __future__ import annotations

import re

from gepa.strategies.instruction_proposal import InstructionProposalSignature

from feedback_service.propose.advisor.prompt import Question, last_reply
from feedback_service.propose.advisor.reading import Read
from shared.harness.bundle import PROMPT, SCAFFOLD
from shared.messages.proposals import Edit
from shared.messages.records import public_view

PLACEHOLDER = re.compile(r"\{[a-z_]+\}")
KEEP = "\n\nWords in braces, such as {input}, are filled in by a program: keep each of them as it stands."
MOST_CHARS = 2000  # of a trace's part


def messages(question: Question) -> list[dict[str, str]]:
    path = component(question)
    prompt = InstructionProposalSignature.prompt_renderer(
        {
            "current_instruction_doc": _harmless(question.files[path].decode()),
            "dataset_with_feedback": [
                {
                    "Inputs": _harmless(str(public_view(trace.attempt.plan.instance))),
                    "Generated Outputs": _harmless(last_reply(trace)),
                    "Feedback": _harmless(_feedback(trace.score, trace.why, trace.attempt.error)),
                }
                for trace in question.chosen
            ],
            "prompt_template": InstructionProposalSignature.default_prompt_template + KEEP,
        }
    )
    return [{"role": "user", "content": str(prompt)}]


def read(text: str, question: Question) -> Read:
    """The whole prompt, rewritten, as one edit."""
    path = component(question)
    old = question.files[path].decode()
    new = InstructionProposalSignature.output_extractor(text.strip())["new_instruction"]
    found = Read(reason=f"GEPA reflected on {len(question.chosen)} attempts and rewrote {path}")
    if not new.strip():
        found.fault = "there is no instruction in it"
    elif lost := sorted(set(PLACEHOLDER.findall(old)) - set(PLACEHOLDER.findall(new))):
        found.drop("new_instruction", f"{path} must keep {', '.join(lost)}")
    else:
        found.edits = [Edit(kind="replace_text", path=path, old=old, new=new)]
    return found


def component(question: Question) -> str:
    """The prompt whose turn it is; the scaffold where there is none with a text."""
    names = sorted(name for name, data in question.files.items() if PROMPT.fullmatch(name) and data.strip())
    return names[(question.number - 1) % len(names)] if names else SCAFFOLD


def _feedback(score: float | None, why: str, error: str) -> str:
    shown = "not scored" if score is None else f"score {score:.3f}"
    return f"{shown} ({why}). {error}".strip()


def _harmless(text: str) -> str:
    """Cut, and without the fences that GEPA's prompt quotes it in."""
    return text[:MOST_CHARS].replace("```", "'''")
