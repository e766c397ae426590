"""Leaves a process behind that has a session of its own and closes what it was given.

exploit: F32
judge: alive
layer: the box's process namespace ends with its first process
"""

import fcntl
import os
import signal
import sys
import time

lock = open(f"{sys.argv[3]}/alive", "w", encoding="utf-8")  # noqa: SIM115
ready = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.alarm(30)
    fcntl.flock(lock, fcntl.LOCK_EX)
    null = os.open("/dev/null", os.O_RDWR)
    for handle in range(3):
        os.dup2(null, handle)
    os.write(ready[1], b"x")
    time.sleep(30)
os.read(ready[0], 1)
