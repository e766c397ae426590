"""Writes a run's report, report/report.md and its pictures. Changes neither ledger nor store."""

from __future__ import annotations

from pathlib import Path

from ratchet.reports import baselines
from ratchet.reports.formats import interval_text, number_text, spent_text
from ratchet.reports.show import show_json
from ratchet.reports.training import curves_by_generation
from ratchet.runs import findings
from ratchet.runs.folder import RunFolder
from shared.decisions.endings import endings_text
from shared.ledger.history import fold
from shared.tasks.task import load_task

TEMPLATE = Path(__file__).parent / "report.md.j2"


def write(folder: RunFolder) -> Path:
    """(Re)write the report; returns its path."""
    import jinja2

    from ratchet.reports import pictures, task_pictures

    store = folder.open_store()
    history = fold(folder.open_ledger().events(folder.run_id))
    shown = show_json(history, store)
    found = findings.read(history, store)
    task = load_task(folder.config().run.task)
    unit = task.manifest.score.unit
    folder.report.mkdir(exist_ok=True)
    beside = baselines.of_test(task, history, store, folder.report / "baselines.json")
    pictures.draw_arms(shown["generations"], unit, folder.report / "arms.png")
    pictures.draw_train(found.scores, unit, folder.report / "train.png")
    pictures.draw_best(found.curve, unit, folder.report / "best.png")
    curves = curves_by_generation(shown)
    if curves:
        pictures.draw_training(curves, folder.report / "training.png")
    drawn = task_pictures.draw(task, history, store, found.best, folder.report)
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), undefined=jinja2.StrictUndefined)
    best = findings.describe(found.best)
    text = template.render(
        shown=shown,
        unit=unit,
        best=best,
        text=interval_text,
        endings=endings_text,
        spent=spent_text,
        number=number_text,
        drawn=drawn,
        baselines=beside,
        trained=sorted(curves),
    )
    path = folder.report / "report.md"
    path.write_text(text, encoding="utf-8")
    return path
