"""Runs inside a box and tries to get out; prints the result of each attack as one JSON line. Started by
probe.py as a file with `python -I -S`, so it imports the standard library only, and nothing of Ratchet.

    attack.py PORT SECRET SIZE_BYTES PROCESSES BOUND...
a listener and a file of the host; this box's limits; the folders that are bound on purpose
"""

import json
import os
import signal
import socket
import sys

KNOWN_NAMES = {"PATH", "HOME", "LANG", "PYTHONHASHSEED", "OMP_NUM_THREADS", "PWD", "LC_CTYPE"}
HOST_FILES = ("/etc/shadow", "/etc/passwd", "/sys/kernel", "/dev/mem", "/dev/kmsg")
HOST_FOLDERS = ("/home", "/root", "/var", "/run", "/opt", "/srv", "/mnt", "/tmp")


def identity() -> str:
    with open("/proc/self/status", encoding="utf-8") as file:
        status = dict(line.rstrip("\n").split(":", 1) for line in file)
    if os.getuid() == 0:
        return "the program is root"
    if int(status["CapEff"], 16) or int(status["CapBnd"], 16):
        return "the program holds capabilities"
    return "" if status["NoNewPrivs"].strip() == "1" else "the program may gain privileges"


def network(port: int) -> str:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        with open("/proc/self/net/dev", encoding="utf-8") as file:
            names = [line.partition(":")[0].strip() for line in file.readlines()[2:]]
        return "" if names in ([], ["lo"]) else f"network interfaces: {names}"
    return "a listener on the host's 127.0.0.1 answered"


def host_files(secret: str, bound: list[str]) -> str:
    seen = [path for path in (secret, *HOST_FILES) if os.path.exists(path)]
    for folder in filter(os.path.isdir, HOST_FOLDERS):
        inside = [f"{folder}/{name}" for name in os.listdir(folder)]
        seen += [path for path in inside if not any(f"{place}/".startswith(f"{path}/") for place in bound)]
    return f"seen: {', '.join(seen)}" if seen else ""


def kernel_settings() -> str:
    for name in ("kernel/core_pattern", "vm/overcommit_memory"):
        try:
            os.close(os.open(f"/proc/sys/{name}", os.O_WRONLY))
        except OSError:
            continue
        return f"/proc/sys/{name} can be written"
    return "" if os.statvfs("/proc/sys").f_flag & os.ST_RDONLY else "/proc/sys is not mounted read-only"


def sizes(size_bytes: int) -> str:
    for path in ("/tmp", "/dev/shm"):
        stat = os.statvfs(path)
        if not 0 < stat.f_blocks * stat.f_frsize <= size_bytes:
            return f"{path} has no size limit"
    for path in ("/", "/dev", "/usr", "/etc"):
        try:
            os.close(os.open(f"{path}/box-attack", os.O_CREAT | os.O_WRONLY))
        except OSError:
            continue
        return f"{path} can be written"
    return ""


def other_processes() -> str:
    others = [name for name in os.listdir("/proc") if name.isdigit() and int(name) > os.getpid()]
    environ = ""
    try:
        with open("/proc/1/environ", encoding="utf-8") as file:
            environ = file.read()
    except OSError:
        pass
    names = {item.partition("=")[0] for item in environ.split("\0") if item} | set(os.environ)
    if os.getpid() > 50 or others:
        return "the host's processes are seen"
    return f"environment: {', '.join(sorted(names - KNOWN_NAMES))}" if names - KNOWN_NAMES else ""


def descriptors() -> str:
    held = []
    for fd in range(3, 256):
        try:
            os.fstat(fd)
        except OSError:
            continue
        held.append(fd)
    return f"inherited: {held}" if held else ""


def process_limit(processes: int) -> str:
    children: list[int] = []
    try:
        while len(children) < 4 * processes:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except OSError:
        return ""
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return f"{len(children)} processes, allowed {processes}"


def main() -> None:
    secret, bound = sys.argv[2], sys.argv[5:]
    port, size_bytes, processes = int(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4])
    attacks = {
        "descriptors": descriptors(),
        "identity": identity(),
        "network": network(port),
        "host files": host_files(secret, bound),
        "kernel settings": kernel_settings(),
        "sizes": sizes(size_bytes),
        "other processes": other_processes(),
        "process limit": process_limit(processes),
    }
    print(json.dumps(attacks))


if __name__ == "__main__":
    main()
