"""Connects to a socket that has a name but no file.

exploit: F33
layer: the network namespace
"""

import socket
import sys

socket.socket(socket.AF_UNIX).connect(f"\0ratchet-attack-{sys.argv[1]}")
print("escaped")
