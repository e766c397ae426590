"""Reads the host's accounts.

exploit: F34
layer: nothing of the host is bound but a toolchain
"""

with open("/etc/passwd", encoding="utf-8") as file:
    if "root" in file.read():
        print("escaped")
