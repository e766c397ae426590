"""Writes a run's report: report/report.md with its pictures beside it, and report/report.html, the same in
one file that loads nothing. Changes neither ledger nor store.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from ratchet.reports import baselines
from ratchet.reports.costs import spent
from ratchet.reports.formats import interval_text, number_text, spent_text, unmeasured_texts
from ratchet.reports.show import show_run
from ratchet.reports.training import curves_by_generation
from ratchet.reports.wealth import wealth_paths
from ratchet.runs import findings
from ratchet.runs.earlier.uses import uses_text
from ratchet.runs.folder import RunFolder
from shared.decisions.endings import endings_text
from shared.ledger.history.folding import fold
from shared.tasks.task import load_task

HERE = Path(__file__).parent


def write(folder: RunFolder) -> Path:
    """(Re)write the report; returns the path of its Markdown."""
    import jinja2

    folder.report.mkdir(exist_ok=True)
    values = _values(folder)
    texts = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(["html.j2"]),
    )
    for name in ("report.html", "report.md"):
        path = folder.report / name
        path.write_text(texts.get_template(f"{name}.j2").render(values), encoding="utf-8")
    return path


def _values(folder: RunFolder) -> dict[str, Any]:
    """Draws the pictures; returns all that the templates show."""
    from ratchet.reports import pictures, task_pictures

    store = folder.open_store()
    history = fold(folder.open_ledger().events(folder.run_id))
    shown = show_run(folder)
    found = findings.read(history, store)
    config = folder.config()
    task = load_task(config.run.task)
    unit = task.manifest.score.unit
    beside = baselines.of_test(task, history, store, folder.report / "baselines.json")
    wealth, curves = wealth_paths(history, store), curves_by_generation(shown)
    own = pictures.draw_run(shown["generations"], found, wealth, curves, unit, folder.report)
    return {
        "shown": shown,
        "unit": unit,
        "best": findings.describe(found.best),
        "text": interval_text,
        "endings": endings_text,
        "spent": spent_text,
        "number": number_text,
        "unmeasured": unmeasured_texts,
        "pictures": own,
        "drawn": task_pictures.draw(task, history, store, found.best, folder.report),
        "baselines": beside,
        "warnings": uses_text(used) if (used := shown["gate"].get("used_before")) else [],
        "costs": spent(history, config),
        "config": config.model_dump_json(indent=2),
        "inline": lambda file: _inline(folder.report / file),
    }


def _inline(picture: Path) -> str:
    """A PNG as a data URL, which a page can show without loading anything."""
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
