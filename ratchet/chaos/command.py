"""`ratchet chaos`: the rows of the fault matrix, the random part, and the control without a reconciler, each
on a scene of its own. Says how far it is on stderr.
"""

from __future__ import annotations

import logging
import re
import secrets
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ratchet.chaos import postgres
from ratchet.chaos.matrix import servers, workers
from ratchet.chaos.matrix.elsewhere import ELSEWHERE
from ratchet.chaos.matrix.probe import Row, Seen
from ratchet.chaos.random_part import control, random_part
from ratchet.chaos.scene import Scene, scene, wait_for_workers
from shared.errors import RatchetError, SettingsError, ToolMissingError
from shared.machine import machine_and_date
from shared.messages.records import JsonObject

CONTROL_JOBS = 200
ROWS = [*workers.ROWS, *servers.ROWS]


@dataclass(frozen=True)
class Wish:
    """What to do. `database`: sqlite, postgresql, or auto: PostgreSQL where it is installed. `only`: the rows
    whose fault contains one of these words; none: all. `jobs` 0: no random part."""

    jobs: int
    faults: int
    database: str = "auto"
    seed: int | None = None
    only: tuple[str, ...] = ()
    rows: bool = True


def chaos(wish: Wish) -> JsonObject:
    """The report. Raises SettingsError for words that no row contains."""
    logging.getLogger("ratchet.stack.processes").setLevel(logging.ERROR)  # it is we who kill them
    database = _database(wish.database)
    seed = secrets.randbits(31) if wish.seed is None else wish.seed
    report: JsonObject = machine_and_date() | {"database": database, "seed": seed}
    if wish.rows:
        report["rows"] = _rows(database, _chosen(wish.only))
        report["elsewhere"] = ELSEWHERE
    if wish.jobs:
        report["random"] = _random(database, wish, seed)
        report["control"] = _control(database, seed)
    oks = [row["ok"] for row in report.get("rows", [])]
    oks += [report[part]["ok"] for part in ("random", "control") if part in report]
    return report | {"ok": all(oks)}


def _database(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    try:
        postgres.find_programs()
    except ToolMissingError as error:
        say(f"{error}: on a SQLite file, without the faults of a server")
        return "sqlite"
    return "postgresql"


def _chosen(words: tuple[str, ...]) -> list[Row]:
    wanted = [re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE) for word in words]  # F5 is not F57
    found = [row for row in ROWS if not words or any(word.search(row.fault) for word in wanted)]
    if not found:
        raise SettingsError(f"no row is about {', '.join(words)}", "; ".join(row.fault for row in ROWS))
    return found


def _rows(database: str, rows: list[Row]) -> list[JsonObject]:
    found = []
    with tempfile.TemporaryDirectory() as name, scene(Path(name), database) as made:
        for number, row in enumerate(rows, 1):
            if row.server and database == "sqlite":
                continue
            wait_for_workers(made)
            seen = _observe(made, row)
            say(f"{number} of {len(rows)} {'ok' if seen.ok else 'FAILED'}: {row.fault}: {seen.text}")
            about = {"fault": row.fault, "expect": row.expect, "seen": seen.text, "ok": seen.ok}
            found.append(about)
    return found


def _observe(made: Scene, row: Row) -> Seen:
    try:
        return row.observe(made)
    except RatchetError as error:
        return Seen(f"{type(error).__name__}: {error}", False)
    finally:
        made.mend()


def _random(database: str, wish: Wish, seed: int) -> JsonObject:
    say(f"{wish.jobs} jobs, {wish.faults} faults, seed {seed}")
    with tempfile.TemporaryDirectory() as name, scene(Path(name), database) as made:
        wait_for_workers(made)
        found = random_part(made, wish.jobs, wish.faults, seed, say)
    clean = not any(found[name] for name in ("lost", "double", "stuck", "dead"))
    enough = found["done"] >= wish.jobs // 10 * 10 and found["faults"] >= wish.faults
    say(f"{found['done']} jobs, {found['faults']} faults: {found['lost']} lost, {found['double']} double")
    return found | {"ok": clean and enough}


def _control(database: str, seed: int) -> JsonObject:
    """Without a reconciler dropped doorbells are lost jobs; where none is found, the check is blind."""
    say("the same with the reconciler switched off: losses must be found")
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory() as name, scene(Path(name), database, reconciler=False) as made:
        wait_for_workers(made)
        verdict = control(made, CONTROL_JOBS, seed)
    say(f"without a reconciler: {verdict}")
    seconds = round(time.monotonic() - started_s, 1)
    return {"seen": str(verdict), "lost": verdict.lost, "seconds": seconds, "ok": verdict.lost > 0}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
