"""Prints results as tables for people. Every command offers JSON as well."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from ratchet.check import Check
from ratchet.cli.console import make_console
from ratchet.reports.formats import interval_text, spent_text, unmeasured_texts
from ratchet.reports.training import curves_text
from ratchet.runs.earlier.reading import others
from ratchet.runs.earlier.spread import pooled, spread_text
from ratchet.runs.earlier.uses import uses_foreseen, uses_text
from ratchet.runs.endpoint import with_list_prices
from shared.config.settings import RunConfig
from shared.decisions.endings import endings_text
from shared.decisions.plan import Step, plan
from shared.tasks.task import task_of

console = make_console()


def print_run(shown: dict[str, Any]) -> None:
    """The result table of `ratchet show`."""
    table = Table(title=f"{shown['run']}: {shown['task']}, {shown['state']}", title_justify="left")
    for column in ("gen", "base", "harness", "weights", "both", "decision"):
        table.add_column(column)
    for generation in shown["generations"]:
        arms = [interval_text(generation["arms"][arm]) for arm in ("base", "harness", "weights", "both")]
        table.add_row(str(generation["generation"]), *arms, generation["gate"]["decision"])
    console.print(table)
    for generation in shown["generations"]:
        print_generation(generation)
    test = shown["final"]["test"]
    if test:
        console.print(
            f"sealed test: first {interval_text(test['first'])}, last {interval_text(test['last'])}"
            f", n={test['last'].get('n') if test['last'] else 0}"
        )
    if len(shown.get("verifiers", ())) > 1:
        changes = [
            f"{one['digest'][:12]} from generation {one['from_generation']}" for one in shown["verifiers"]
        ]
        console.print(
            f"The task's folder was changed during the run; it was judged by {', '.join(changes)}. "
            "Scores before and after are not comparable: start another run."
        )
    if posted := shown.get("posted"):
        mean = f", mean {posted['mean']:.3f}" if posted["scores"] else ""
        console.print(
            f"posted scores of served answers: {posted['scores']}{mean};"
            f" {posted['train_instances']} train instances made of such scores"
        )
    if shown.get("why"):
        console.print(shown["why"])
    if claims := shown.get("gate", {}).get("claims"):
        console.print(f"claimed is {claims}", markup=False)
    if used := shown.get("gate", {}).get("used_before"):
        print_warnings(uses_text(used))


def print_runs(rows: Sequence[dict[str, Any]]) -> None:
    """`ratchet ls`."""
    table = Table()
    names = ("name", "state", "generations", "promoted", "test", "evaluations")
    for name in names:
        table.add_column(
            "sealed gain" if name == "test" else name, justify="left" if name == "name" else "right"
        )
    for row in rows:
        table.add_row(*(str(row[name]) for name in names))
    console.print(table)


def print_comparison(result: dict[str, Any]) -> None:
    """`ratchet compare`: runs, what each arm scored on the sealed test, and which pairs of arms differ."""
    table = Table(title="runs", title_justify="left")
    names = ("arm", "seed", "sealed", "promoted", "best", "last 16", "evaluations", "tokens", "minutes")
    for column in names:
        table.add_column(column, justify="left" if column == "arm" else "right")
    for row in result["runs"]:
        cost, made = row["cost"], row.get("candidates", {})
        scores = [row["sealed"], made.get("best"), made.get("last_mean")]
        sealed, best, last = ["-" if score is None else f"{score:.3f}" for score in scores]
        spent = [f"{cost['evaluations']:,}", f"{cost['tokens']:,}", f"{cost['wall_s'] / 60:.1f}"]
        table.add_row(row["arm"], str(row["seed"]), sealed, str(row.get("promoted", "-")), best, last, *spent)
    console.print(table)
    table = Table(title="sealed test", title_justify="left")
    for column in ("arm", "mean [95 %]", "n"):
        table.add_column(column, justify="right" if column == "n" else "left")
    for arm, found in result["arms"].items():
        table.add_row(arm, _mean_text(found), str(found["n"]))
    console.print(table)
    table = Table(title="sealed test, paired", title_justify="left")
    for column in ("pair", "difference [95 %]", "p", "p corrected (Holm)"):
        table.add_column(column)
    for row in result["pairs"]:
        values = [f"{row[name]:.3g}" if row.get(name) is not None else "-" for name in ("p", "p_holm")]
        table.add_row(f"{row['arm']} minus {row['minus']}", _mean_text(row["difference"], "+.3f"), *values)
    console.print(table)


def _mean_text(found: dict[str, Any], form: str = ".3f") -> str:
    """Of one seed alone there is a mean without an interval."""
    if found["mean"] is None:
        return "-"
    span = "" if found["low"] is None else f" [{found['low']:{form}}, {found['high']:{form}}]"
    return f"{found['mean']:{form}}{span}"


def print_generation(generation: dict[str, Any]) -> None:
    console.print(f"[bold]generation {generation['generation']}[/bold] {generation['gate']['why']}")
    for lever in ("harness", "weights"):
        proposal = generation["proposals"][lever]
        if proposal:
            console.print(f"  {lever}: {proposal['reason']}", markup=False)
        if proposal and (told := curves_text(proposal["curves"])):
            console.print(f"  {told}", markup=False)
    for line in unmeasured_texts(generation["arm_reasons"]):
        console.print(f"  {line}", markup=False)
    console.print(f"  cost: {spent_text(generation['cost'])}", markup=False)
    if waited := (generation["gate"].get("evidence") or {}).get("waited_s"):
        arms = ", ".join(f"{arm} {seconds:.3g} s" for arm, seconds in waited.items())
        console.print(f"  waited for the model, an attempt of the confirmation: {arms}", markup=False)
    if odd := endings_text(generation["endings"]):
        console.print(f"  {odd}", markup=False)


def print_plan(config: RunConfig, root: Path, as_json: bool, with_config: bool = True, run: str = "") -> None:
    """The resolved config, what each step will cost at most, which gains the gate can find, and which of its
    cases runs under `root` other than `run` have used."""
    from shared.decisions.evidence.power import foreseen, foreseen_text  # scipy

    config = with_list_prices(config)
    task = task_of(config)
    before = others(root, task.name, run)
    spread = pooled(before, config, task)
    steps, finds = plan(config, task), foreseen(config, task, spread.spread if spread else None)
    used = uses_foreseen(before, config, task)
    if as_json:
        finds |= {"measured_spread": vars(spread) if spread else None, "used_before": used}
        shown = {"config": config.model_dump(), "steps": [vars(step) for step in steps], "gate": finds}
        print(json.dumps(shown, indent=2))
        return
    if with_config:
        print(json.dumps(config.model_dump(), indent=2))
    print_steps(steps)
    console.print(foreseen_text(finds), markup=False)
    if spread:
        console.print(spread_text(spread), markup=False)
    print_warnings(uses_text(used))


def print_warnings(lines: Sequence[str]) -> None:
    for line in lines:
        console.print(f"warning: {line}", markup=False)


def print_steps(steps: Sequence[Step]) -> None:
    table = Table(title="what each step may cost", title_justify="left")
    for column in ("step", "evaluations", "tokens", "prompt tokens, about", "US dollars, about"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for step in steps:
        usd = f"{step.usd:,.2f}" if step.usd else "-"
        counts = (step.evaluations, step.tokens, step.prompt_tokens)
        table.add_row(step.name, *(f"{count:,}" for count in counts), usd)
    console.print(table)


def print_evaluation(result: dict[str, Any]) -> None:
    console.print(f"{result['task']}, release {result['release']}: {interval_text(result)}, n={result['n']}")
    table = Table()
    for column in ("instance", "score", "speedup", "outcome"):
        table.add_column(column)
    for item in result["instances"]:
        speedup = item.get("speedup")
        table.add_row(
            str(item["id"]),
            "-" if item["score"] is None else f"{item['score']:.3f}",
            "-" if speedup is None else f"{speedup:.2f}",
            item["outcome"],
        )
    console.print(table)
    print_baselines("all instances", result.get("baselines", {}))
    for name, group in result.get("groups", {}).items():
        print_baselines(f"{name}: {interval_text(group['score'])}", group["baselines"])


def print_baselines(title: str, baselines: dict[str, Any]) -> None:
    """What the release is compared with, on the same instances."""
    if not baselines:
        return
    table = Table(title=title, title_justify="left")
    for column in ("baseline", "score", "release minus it"):
        table.add_column(column)
    for name, found in baselines.items():
        difference = interval_text(found.get("release_minus_it"))
        table.add_row(name, interval_text(found["score"]), difference)
    console.print(table)


def print_checks(checks: Sequence[Check], as_json: bool) -> None:
    if as_json:
        rows = [{"name": c.name, "ok": c.ok, "detail": c.detail, "hint": c.hint} for c in checks]
        print(json.dumps({"ok": all(check.ok for check in checks), "checks": rows}, indent=2))
        return
    for check in checks:
        console.print(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.detail}", markup=False)
        if not check.ok and check.hint:
            console.print(f"     hint: {check.hint}", markup=False)
