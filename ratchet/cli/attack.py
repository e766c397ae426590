"""The output of `ratchet attack`: every attack of the corpus, whether a harness that trusts everything
rewards it, and what stopped it here. The exit code is 1 where an attack got through or the honest program
failed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from ratchet.cli.tables import console
from sandbox_service.attacks.corpus import EXPLOITS, NOT_APPLICABLE, attacks
from sandbox_service.attacks.finding import Finding
from sandbox_service.attacks.run import run
from shared.errors import SettingsError


def attack(names: Sequence[str], as_json: bool) -> bool:
    """Run the corpus, or the named attacks, and print it. False where anything got through."""
    known = {attack.name for attack in attacks()}
    if strange := sorted(set(names) - known):
        raise SettingsError(f"unknown attack {strange[0]!r}", "`ratchet attack --json` lists their names")
    findings = run(names)
    controls = [finding for finding in findings if finding.kind == "control"]
    tried = [finding for finding in findings if finding.kind != "control"]
    contained = sum(finding.contained for finding in tried)
    if as_json:
        shown = {
            "tried": len(tried),
            "contained": contained,
            "attacks": [asdict(finding) for finding in tried],
            "controls": [asdict(finding) for finding in controls],
            "not_applicable": [
                {"exploit": key, "name": EXPLOITS[key], "why": why} for key, why in NOT_APPLICABLE.items()
            ],
        }
        print(json.dumps(shown, indent=2))
    else:
        _print_table(tried, controls)
    return contained == len(tried) and all(control.contained for control in controls)


def _print_table(tried: Sequence[Finding], controls: Sequence[Finding]) -> None:
    table = Table()
    for column in ("attack", "naive harness", "here", "stopped by"):
        table.add_column(column)
    for finding in tried:
        table.add_row(
            finding.name,
            "fell" if finding.naive_succeeded else f"stood: {finding.kept}",
            "contained" if finding.contained else "GOT THROUGH",
            finding.layer if finding.contained else finding.saw,
        )
    console.print(table, markup=False)
    console.print(f"{sum(finding.contained for finding in tried)} of {len(tried)} contained")
    for control in controls:
        console.print(f"{control.name}: {'rewarded' if control.contained else 'REFUSED'} ({control.saw})")
