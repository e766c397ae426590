"""What `ratchet compare` wrote under a root of runs, comparison.json and its pictures, as a page shows it. It
only reads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ratchet.reports.formats import interval_text
from shared.errors import SettingsError

FILE = "comparison.json"
PICTURES = {
    "sealed.png": "Sealed scores by arm",
    "candidates.png": "Confirmed gain and train candidates over evaluations, by arm",
}


def comparisons(root: Path) -> list[str]:
    """Their folders' names, in alphabetical order."""
    return sorted(path.parent.name for path in root.glob(f"*/{FILE}"))


def comparison_page(root: Path, name: str) -> dict[str, Any]:
    """Raises SettingsError for an unknown one, or a file that can't be read."""
    if name not in comparisons(root):
        raise SettingsError(f"no comparison {name!r} in {root}", "`ratchet compare` writes one")
    try:
        found = json.loads((root / name / FILE).read_text(encoding="utf-8"))
        parts = {part: found[part] for part in ("runs", "pairs", "arms")}
        pictures = {file: text for file, text in PICTURES.items() if (root / name / file).is_file()}
        measured = {part: found.get(part, "") for part in ("machine", "date")}
        return {"name": name, "interval_text": _difference, "pictures": pictures, **measured, **parts}
    except (OSError, ValueError, KeyError) as error:
        raise SettingsError(f"{root / name / FILE} can't be read: {error}") from None


def picture_path(root: Path, name: str, file: str) -> Path:
    """Raises SettingsError for any other file than a comparison's pictures."""
    path = root / name / file
    if name not in comparisons(root) or file not in PICTURES or not path.is_file():
        raise SettingsError(f"no picture {file!r} of a comparison {name!r} in {root}")
    return path


def _difference(found: dict[str, Any]) -> str:
    """Of one seed alone there is a mean without an interval."""
    if found["mean"] is not None and found["low"] is None:
        return f"{found['mean']:.3f}"
    return interval_text(found)
