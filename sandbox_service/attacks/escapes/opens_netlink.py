"""Asks the kernel's routing tables through AF_NETLINK.

exploit: F33
layer: the system call filter
"""

import socket

socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
print("escaped")
