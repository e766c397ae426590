"""Spins for ever and ignores every signal that can be ignored.

exploit: F30
judge: alive
layer: the parent's deadline
"""

import fcntl
import signal
import sys
import time

for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGALRM}:
    signal.signal(number, signal.SIG_IGN)
signal.alarm(30)
lock = open(f"{sys.argv[3]}/alive", "w", encoding="utf-8")  # noqa: SIM115
fcntl.flock(lock, fcntl.LOCK_EX)
while True:
    time.sleep(0)
