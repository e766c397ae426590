"""The seed was taken out of the program's environment, but the parent's still holds it.

exploit: K30
layer: the box's process namespace
"""

import os

for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{name}/environ", "rb") as file:
            found = b"RATCHET_ATTACK_SEED" in file.read() and int(name) != os.getpid()
    except OSError:
        continue
    if found:
        print("escaped")
        break
