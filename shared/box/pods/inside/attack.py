"""Attacks a pod from inside, as a program in it could: prints, for each layer, what got through ("" where it
held).

    attack.py PORT HOST:PORT...        the runner's port, and what must not be reached

Started as a file in a box, so it imports the standard library only.
"""

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

CONNECT_TIMEOUT_S = 2.0
TOKEN = Path("/var/run/secrets/kubernetes.io")
ALLOWED = {"PATH", "HOME", "LANG", "PYTHONHASHSEED", "PWD", "LC_CTYPE"}
CLOSED_FOLDERS = ("/", "/usr", "/etc", "/var", str(Path(__file__).parents[3]))


def main() -> None:
    port, targets = sys.argv[1], sys.argv[2:]
    attacks: dict[str, Callable[[], str]] = {
        "identity": _identity,
        "token": _token,
        "environment": _environment,
        "read-only root": _root,
        "runner": lambda: _runner(port),
        "network": lambda: _network(targets),
    }
    print(json.dumps({name: attack() for name, attack in attacks.items()}))


def _identity() -> str:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    if os.getuid() == 0:
        return "it runs as root"
    held = [name for name in ("CapEff", "CapPrm", "CapInh") if int(status.get(name, "0"), 16)]
    if held:
        return f"it holds capabilities: {', '.join(held)}"
    return "" if status.get("NoNewPrivs") == "1" else "it may gain privileges"


def _token() -> str:
    return f"{TOKEN} is there" if TOKEN.exists() else ""


def _environment() -> str:
    return ", ".join(sorted(set(os.environ) - ALLOWED))


def _root() -> str:
    opened = []
    for folder in CLOSED_FOLDERS:
        try:
            Path(folder, ".attack").write_text("x", encoding="utf-8")
            opened.append(folder)
        except OSError:
            continue
    return f"it may write to {', '.join(opened)}" if opened else ""


def _runner(port: str) -> str:
    """The trusted process of the pod: its memory, its files, its port."""
    try:
        with open(f"/proc/{os.getppid()}/mem", "rb"):
            return "its memory can be opened"
    except OSError:
        pass
    try:
        os.listdir(f"/proc/{os.getppid()}/fd")
        return "its files can be listed"
    except OSError:
        pass
    return "its port still answers" if _reached("127.0.0.1", int(port)) else ""


def _network(targets: list[str]) -> str:
    reached = []
    for target in targets:
        host, _, port = target.rpartition(":")
        if _reached(host.strip("[]"), int(port)):
            reached.append(target)
    return f"it reaches {', '.join(reached)}" if reached else ""


def _reached(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    main()
