"""One pod of the in-memory cluster (local_cluster.py): its container's command in a bubblewrap box on this
machine, with the folders, the memory and the deadline that the pod asks for, and the status that a kubelet
would report.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from shared.box.box import SHARED, Bind, Limits
from shared.box.bubblewrap.cgroup import Group, make_group
from shared.box.bubblewrap.launch import launch_argv
from shared.box.bubblewrap.process import BubblewrapProcess, Launch, start_process
from shared.box.bubblewrap.seccomp import filter_file
from shared.box.pods.spec import PORT, SCRATCH
from shared.errors import BoxError
from shared.messages.records import JsonObject

POLL_S = 0.02
PROCESSES = 512
LIFE_CPU_S = 86_400
BARE = ("box/pods/inside", "box/kernel_call.py")  # as its image
UNITS = {"Mi": 1, "Gi": 1024}
NOT_FOUND = {"reason": "ErrImagePull", "message": "no such image here"}


class LocalPod:
    """`python`: whether its image holds the interpreter's environment; None: there is no such image."""

    def __init__(self, pod: JsonObject, python: bool | None) -> None:
        self.pod = pod
        self.python = python
        self.ended = threading.Event()
        self.log = ""  # of its runner
        self._over = ""  # why it is to end: deleted, Evicted, DeadlineExceeded
        self.pod["status"] = {"phase": "Pending", "containerStatuses": []}
        self._thread = threading.Thread(target=self._live, daemon=True)  # a box dies with what started it
        self._thread.start()

    def end(self, why: str) -> None:
        """End it from outside: deleted, or evicted. Returns when none of its processes runs."""
        self._over = self._over or why
        self.ended.wait()

    def _live(self) -> None:
        try:
            if self._a_node_takes_it() and self.python is None:
                self.pod["status"]["containerStatuses"] = [{"state": {"waiting": NOT_FOUND}}]
            elif "conditions" not in self.pod["status"]:
                self._run()
        except (BoxError, OSError) as error:
            self._tell(
                "Failed", {"terminated": {"exitCode": 128, "reason": "StartError", "message": str(error)}}
            )
        finally:
            self.ended.set()

    def _a_node_takes_it(self) -> bool:
        """False where the pod asks for a label that no node here has: it then waits, as on a real cluster."""
        wanted = self.pod["spec"].get("nodeSelector")
        if wanted:
            message = f"0/1 nodes are available: 1 node(s) didn't match Pod's node selector {wanted}"
            self.pod["status"]["conditions"] = [
                {"type": "PodScheduled", "status": "False", "message": message}
            ]
        return not wanted

    def _run(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="ratchet-pod-"))
        folder.chmod(0o711)
        address = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}.{secrets.randbelow(250) + 2}"
        try:
            with socket.create_server((address, PORT)) as listener:
                group = make_group(_megabytes(self._box()["resources"]["limits"]["memory"]) << 20, PROCESSES)
                process = start_process(self._launch(folder, listener, group))
            with process:
                self.pod["status"].update(phase="Running", podIP=address)
                self.pod["status"]["containerStatuses"] = [{"state": {"running": {}}}]
                self._watch(process, group)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _watch(self, process: BubblewrapProcess, group: Group | None) -> None:
        deadline = time.monotonic() + self.pod["spec"]["activeDeadlineSeconds"]
        while process.alive() and not self._over:
            if time.monotonic() > deadline:
                self._over = "DeadlineExceeded"
            time.sleep(POLL_S)
        self.log = process.stderr_tail()
        starved = group.out_of_memory() if group else False
        code = 137 if self._over else process.wait(5.0) or 0
        reason = "OOMKilled" if starved and code else "Completed" if code == 0 else "Error"
        if self._over:
            self.pod["status"]["reason"] = self._over
        ending = {"exitCode": code, "reason": reason, "finishedAt": datetime.now(UTC).isoformat()}
        self._tell("Succeeded" if code == 0 else "Failed", {"terminated": ending})

    def _tell(self, phase: str, state: JsonObject) -> None:
        self.pod["status"].update(phase=phase, containerStatuses=[{"state": state}])

    def _box(self) -> JsonObject:
        box: JsonObject = self.pod["spec"]["containers"][0]
        return box

    def _launch(self, folder: Path, listener: socket.socket, group: Group | None) -> Launch:
        box, status, syscalls = self._box(), os.pipe(), filter_file()
        handed = os.dup(listener.fileno())
        passed = (status[1], handed) if syscalls is None else (status[1], handed, syscalls)
        chain = launch_argv(
            [*box["command"], *box["args"]],
            [*self._binds(folder), *_own_group(group)],
            self._limits(),
            env={"LISTEN_FDS": str(handed)},
            cwd="/",
            status_fd=status[1],
            filter_fd=syscalls,
            python=bool(self.python),
        )
        chain.insert(chain.index("bwrap") + 1, "--as-pid-1")  # as in a pod: nothing in it can kill the first
        return Launch([*(group.enter_argv() if group else []), *chain], status[0], passed, group)

    def _binds(self, folder: Path) -> list[Bind]:
        ours = [] if self.python else [SHARED / name for name in BARE]
        found = [Bind(path, str(path)) for path in ours]
        for mount in self._box()["volumeMounts"]:
            if mount["mountPath"] not in SCRATCH:
                place = folder / mount["name"]
                place.mkdir()
                found.append(Bind(place, mount["mountPath"], writable=True))
        return found

    def _limits(self) -> Limits:
        sizes = {volume["name"]: volume["emptyDir"]["sizeLimit"] for volume in self.pod["spec"]["volumes"]}
        scratch = next(m["name"] for m in self._box()["volumeMounts"] if m["mountPath"] == SCRATCH[0])
        memory_mb = _megabytes(self._box()["resources"]["limits"]["memory"])
        return Limits(
            cpu_s=LIFE_CPU_S, memory_mb=4 * memory_mb, processes=PROCESSES, file_mb=_megabytes(sizes[scratch])
        )


def _own_group(group: Group | None) -> list[Bind]:
    """The file in which a container finds the memory events of its own control group."""
    places = {"memory.events": "/sys/fs/cgroup", "memory.oom_control": "/sys/fs/cgroup/memory"}
    return [
        Bind(folder / name, f"{place}/{name}")
        for folder in (group.folders if group else ())
        for name, place in places.items()
        if (folder / name).exists()
    ]


def _megabytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]
