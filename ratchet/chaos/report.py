"""The report of `ratchet chaos` for people."""

from __future__ import annotations

from shared.messages.records import JsonObject


def table(report: JsonObject) -> str:
    lines = [
        f"{'ok    ' if row['ok'] else 'FAILED'}  {row['fault']}: {row['seen']}"
        for row in report.get("rows", [])
    ]
    if "random" in report:
        found = report["random"]
        lines.append(
            f"random part, seed {found['seed']}: {found['done']} of {found['jobs']} jobs done under"
            f" {found['faults']} faults in {found['seconds']} s:"
            f" lost={found['lost']} double={found['double']} stuck={found['stuck']} dead={found['dead']}"
        )
        lines.append(f"without a reconciler: {report['control']['seen']}")
    return "\n".join([*lines, "all held" if report["ok"] else "NOT all held"])
