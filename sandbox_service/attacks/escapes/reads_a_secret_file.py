"""Reads a key file whose path it knows.

exploit: F34
layer: nothing of the host is bound but a toolchain
"""

import sys

with open(sys.argv[2], encoding="utf-8") as file:
    if "secret" in file.read():
        print("escaped")
