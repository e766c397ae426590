"""Opens an AF_VSOCK socket, which no namespace holds: it leads to the hypervisor.

exploit: F33
layer: the system call filter
kept: a kernel without vsock has no such socket for anybody
"""

import socket

socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
print("escaped")
