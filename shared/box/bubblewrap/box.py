"""The box on one machine: bubblewrap around a program, a seccomp filter, and a control group where one can be
made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from shared.box.box import NO_ENV, Bind, Box, BoxedProcess, BoxResult, Limits
from shared.box.bubblewrap.cgroup import make_group
from shared.box.bubblewrap.launch import launch_argv
from shared.box.bubblewrap.process import Launch, run_process, start_process
from shared.box.bubblewrap.seccomp import filter_file
from shared.errors import BoxError

OWN_PROCESSES = 4  # of bubblewrap, that a box's control group counts too


class BubblewrapBox(Box):
    """A box on this machine. As root, a writable bind's folder is given to the box's own uid; a file in it
    may be a link or a FIFO.
    """

    def run(
        self,
        argv: Sequence[str],
        *,
        binds: Sequence[Bind] = (),
        limits: Limits,
        stdin: bytes = b"",
        env: Mapping[str, str] = NO_ENV,
        cwd: str = "/tmp",
        python: bool = True,
    ) -> BoxResult:
        return run_process(self._launch(argv, binds, limits, env, cwd, python), limits, stdin)

    def start(
        self,
        argv: Sequence[str],
        *,
        binds: Sequence[Bind] = (),
        limits: Limits,
        env: Mapping[str, str] = NO_ENV,
        cwd: str = "/tmp",
        python: bool = True,
    ) -> BoxedProcess:
        return start_process(self._launch(argv, binds, limits, env, cwd, python))

    def _launch(
        self,
        argv: Sequence[str],
        binds: Sequence[Bind],
        limits: Limits,
        env: Mapping[str, str],
        cwd: str,
        python: bool,
    ) -> Launch:
        status, syscalls = os.pipe(), filter_file()
        group = make_group(limits.box_memory_bytes, limits.processes + OWN_PROCESSES)
        try:
            chain = launch_argv(
                argv,
                binds,
                limits,
                env=env,
                cwd=cwd,
                status_fd=status[1],
                filter_fd=syscalls,
                python=python,
            )
        except OSError as error:
            for handle in (*status, *([] if syscalls is None else [syscalls])):
                os.close(handle)
            if group:
                group.remove()
            raise BoxError(
                f"can't ready the box: {error}", "every bound path must exist and be ours"
            ) from error
        passed = (status[1],) if syscalls is None else (status[1], syscalls)
        return Launch([*(group.enter_argv() if group else []), *chain], status[0], passed, group)
