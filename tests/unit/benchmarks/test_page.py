"""docs/results.md is what the recorded files say."""

import json
import shutil
from pathlib import Path

from benchmarks.page.__main__ import PAGE, RESULTS, render


def test_the_page_of_results_is_what_the_recorded_files_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "write it anew with `ratchet bench page`"


def test_a_recorded_comparison_is_a_table_of_the_page(tmp_path: Path) -> None:
    folder = shutil.copytree(RESULTS, tmp_path / "results")
    arm = {"mean": 0.4, "low": 0.3, "high": 0.5, "n": 2}
    runs = [
        {
            "arm": "both",
            "seed": seed,
            "sealed": 0.39 + seed / 50,
            "cost": {"wall_s": 90.0, "evaluations": 800},
            "candidates": made,
        }
        for seed, made in enumerate([{"best": 0.8, "last_mean": 0.5}, {"best": None, "last_mean": None}])
    ]
    plain = {"seed": 0, "sealed": 0.1, "cost": {"wall_s": 6.0, "evaluations": 12}}  # it has no candidates
    runs.append({"arm": "baseline:majority", **plain})
    pair = {"arm": "both", "minus": "base", "difference": arm, "p": 0.01, "p_holm": 0.02}
    result = {
        "budget": {"evaluations": 1000},
        "runs": runs,
        "arms": {"base": arm, "both": arm, "baseline:majority": {"mean": 0.1}},
        "pairs": [pair],
    }
    study = {"machine": "here", "date": "2026-11-29", "remark": "", "result": result}
    (folder / "compare_numbers.json").write_text(json.dumps(study), encoding="utf-8")
    page = render(folder)
    assert "## numbers at equal cost" in page
    assert "| both | 0.400 [0.300, 0.500] | 0.390, 0.410 | 0.800 | 0.500 | 800 | 1.5 |" in page
    assert "| baseline:majority | 0.100 | 0.100 | - | - | 12 | 0.1 |" in page
    assert "| base | 0.400 [0.300, 0.500] |  | - | - | - | - |" in page
    assert "| both minus base | +0.400 [+0.300, +0.500] | 0.020 |" in page


def test_faults_and_hours_stand_beside_what_their_files_say_of_machine_and_date(tmp_path: Path) -> None:
    folder = shutil.copytree(RESULTS, tmp_path / "results")
    for name, known in (("chaos", {"machine": "eight cores", "date": "2026-12-24"}), ("soak", {})):
        recorded = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        kept = {key: value for key, value in recorded.items() if key not in ("machine", "date")}
        (folder / f"{name}.json").write_text(json.dumps(kept | known), encoding="utf-8")
    page = render(folder)
    assert "- `chaos.json`: eight cores, 2026-12-24." in page
    assert "- `soak.json`: no machine recorded, no date recorded." in page
