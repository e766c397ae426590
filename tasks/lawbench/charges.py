"""Names of charges: the lists, the one normal form in which they are compared, and both scorers. Trusted side
only (verifier, data, baselines); pure functions.

Normal form: Unicode NFKC (full width becomes half width), no white space, no square brackets (CAIL writes
"[走私、贩卖]毒品"), no "罪" at the end. Nothing else: a charge that is spelled otherwise is another charge.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
SEPARATORS = re.compile(r"[;；\n]")
FRAME = re.compile(r"^\s*(\[罪名\]|【罪名】|罪名\s*[:：])|<eoa>.*$", re.DOTALL)  # what LawBench's prompt asks for


def normal(name: str) -> str:
    text = re.sub(r"[\s\[\]【】]", "", unicodedata.normalize("NFKC", name))
    return text.removesuffix("罪")


def official_options() -> list[str]:
    """The 189 names that LawBench's own scorer knows (open-compass/LawBench, Apache-2.0)."""
    options: list[str] = json.loads((HERE / "official_options.json").read_text(encoding="utf-8"))
    return options


def default_labels() -> list[str]:
    """The 191 charges of CAIL2018 that SIA uses."""
    labels: list[str] = json.loads((HERE / "labels.json").read_text(encoding="utf-8"))
    return labels


def parse_answer(text: str) -> tuple[str, ...]:
    """The names in an answer, in normal form, each once. Prose comes out as one strange name."""
    body = FRAME.sub("", text)
    return tuple(dict.fromkeys(name for name in map(normal, SEPARATORS.split(body)) if name))


def set_f1(said: Iterable[str], true: Iterable[str]) -> float:
    """F1 of two sets of names: 0 where nothing is shared."""
    mine, its = set(said), set(true)
    shared = len(mine & its)
    return 2 * shared / (len(mine) + len(its)) if shared else 0.0


def official_f1(text: str, true: Sequence[str], options: Sequence[str]) -> tuple[float, bool]:
    """LawBench's own score of a text, and whether it counts as an abstention.

    Every option that occurs ANYWHERE in the text counts as said, with no parsing and no normal form. Known
    defects, kept on purpose: a charge that contains another one's name (合同诈骗, 诈骗) is counted as both; 13 of
    its own gold charges are no option and can never score; a refusal that names a charge counts as naming it.
    """
    said = {option for option in options if option in text}
    return set_f1(said, set(true)), not said
