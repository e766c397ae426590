"""Connects to a service that listens on the host's loopback.

exploit: F33
layer: the network namespace
"""

import socket
import sys

socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=2).close()
print("escaped")
