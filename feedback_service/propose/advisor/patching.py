"""From advised edits to a patch that applies. An edit that does not apply, or that was refused before, is
dropped alone; the rest is proposed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from feedback_service.propose.advisor.reading import Read
from feedback_service.propose.memory import Memory
from feedback_service.propose.moves import edit_key
from shared.harness.bundle import PatchRefused, apply_patch, bundle_digest
from shared.messages.proposals import Edit, Patch


def patch_of(
    found: Read, base: str, files: Mapping[str, bytes], memory: Memory, most_edits: int
) -> Patch | None:
    """The edits that hold, as one patch; what does not hold is added to `found.dropped`."""
    kept = _applicable(found, files, memory.refused(base), most_edits)
    if not kept:
        return None
    patch = Patch(base=base, edits=tuple(kept), reason=f"advisor: {found.reason}")
    try:
        apply_patch(files, patch)
    except PatchRefused as refused:  # edits that undo each other
        found.drop("harness.edits", refused.message)
        return None
    if frozenset(map(edit_key, kept)) in memory.closed(base):
        found.drop("harness.edits", "these very edits were tried before")
        return None
    return patch


def _applicable(
    found: Read, files: Mapping[str, bytes], refused: Mapping[str, str], most_edits: int
) -> Sequence[Edit]:
    changed, kept = dict(files), list[Edit]()
    for number, edit in enumerate(found.edits):
        where = f"harness.edits.{number}"
        if len(kept) == most_edits:
            found.drop(where, f"beyond this generation's budget of {most_edits} edits")
            continue
        try:
            after = apply_patch(changed, Patch(base=bundle_digest(changed), edits=(edit,), reason=""))
        except PatchRefused as error:
            found.drop(where, error.message.removeprefix("edit 1 "))
            continue
        if outcome := refused.get(edit_key(edit)):
            found.drop(where, f"tried before: {outcome}")
            continue
        changed, kept = after, [*kept, edit]
    return kept
