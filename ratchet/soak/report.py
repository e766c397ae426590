"""The report of `ratchet soak` for people."""

from __future__ import annotations

from shared.messages.records import JsonObject


def table(report: JsonObject) -> str:
    lines = [f"{report['jobs']:.0f} jobs in {report['hours']} h on {report['database']}"]
    for name, found in report["series"].items():
        grows = "flat " if found["flat"] else "GROWS"
        ends = f"{found['first']:.4g} to {found['last']:.4g}"
        lines.append(f"{grows}  {name:14} {ends}, {found['slope_per_h']:+.3g} an hour")
    return "\n".join([*lines, report["verdict"]])
